"""The names of the targets, which are the values of ``--target``, and other names of options.

This module imports nothing, so that the command line can check a name without loading numpy.
``targets.table`` maps each name to its target. A test checks that both have the same names.
"""

TABLES = ("parquet", "arrow", "jsonl", "arrow-folder")
"""The formats that most trainers read, through ``datasets.load_dataset``."""

TARGET_FORMATS: dict[str, tuple[str, ...]] = {
    "hf": (*TABLES, "megatron-parquet"),
    "trl": TABLES,
    "axolotl": TABLES,
    "unsloth": TABLES,
    "llama-factory": ("arrow-folder",),
    "megatron-bridge": ("megatron-parquet",),
    "automodel": TABLES,
    "olmo-core": ("olmo",),
    "skyrl": TABLES,
    "llm-foundry": ("mds-turns",),
    "streaming": ("mds",),
    "torchtune": TABLES,
    "together": ("parquet",),
    "verl": ("parquet",),
}
"""The formats that the trainer reads; the first is the default."""

LOSS_MASKS = ("completion_mask", "assistant_masks")
"""The columns that some trainers read in place of labels: the values of ``--loss-mask``."""

TARGET_NAMES = tuple(TARGET_FORMATS)

UNABLE_NAMES = ("ms-swift", "torchtitan", "mlx-lm", "litgpt", "megatron-lm", "xtuner", "prime-rl")
"""Trainers that cannot be given token ids; ``targets.table`` says why, and what to use instead."""
