"""The names of the targets: the values of ``--target``.

This module imports nothing, so that the command line can check a name without loading numpy.
``targets.table`` maps each name to its target. A test checks that both have the same names.
"""

TARGET_NAMES = (
    "hf", "trl", "axolotl", "llama-factory", "megatron-bridge", "automodel", "olmo-core", "skyrl",
    "llm-foundry", "streaming", "torchtune", "together", "verl",
)  # fmt: skip
