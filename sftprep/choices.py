"""What an option can be: the names alone.

Here, and not with the stages that know what they mean, so that a recipe is read and refused before
anything is loaded that takes long. ``test_recipe`` checks that the stages know these, and no other.
"""

SCHEMAS = ("prompt-completion", "instruction", "messages", "sharegpt")

MAX_EXPANSION = 200
"""The most bytes that one stored byte of compressed input may become."""
