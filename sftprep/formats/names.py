"""The names of the file formats, as ``--format`` takes them.

This module imports nothing, so that the command line can check a name without loading numpy or
Arrow. ``formats.table`` maps each name to its module; a test keeps the two equal.
"""

FORMAT_NAMES = ("parquet", "arrow", "jsonl")
