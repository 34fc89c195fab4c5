"""The names of the file formats: the values of ``--format``.

This module imports nothing, so that the command line can check a name without loading numpy or
Arrow. ``formats.table`` maps each name to its module. A test checks that both have the same names.
"""

FORMAT_NAMES = (
    "parquet",
    "arrow",
    "jsonl",
    "arrow-folder",
    "megatron-parquet",
    "mds",
    "mds-turns",
    "olmo",
)
