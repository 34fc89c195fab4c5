"""What an option can be: the names alone.

Here, and not with the stages that know what they mean, so that a recipe is read and refused before
anything is loaded that takes long. ``test_recipe`` checks that the stages know these, and no other.
"""

TRUNCATIONS = (
    "error",
    "drop",
    "keep-start",
    "keep-end",
    "prompt-start",
    "completion-end",
    "balanced",
    "oldest-turns",
)
TRAIN_ON = ("completion", "all", "last")
BOUNDARIES = ("split", "joint")
BACKENDS = ("auto", "gigatoken", "hf")
FORMATS = ("parquet", "arrow", "jsonl")
ON_INJECTION = ("encode", "reject")
ON_ERROR = ("fail", "quarantine")

IGNORE_INDEX = -100
"""The label of a token without loss: PyTorch's ``CrossEntropyLoss`` default."""
