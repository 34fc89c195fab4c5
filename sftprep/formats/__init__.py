"""File formats of shards: each format's writer and reader share one file."""
