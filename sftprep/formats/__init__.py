"""File formats of shards. The writer and the reader of a format are in one module."""
