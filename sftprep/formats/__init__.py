"""File formats of shards: the writer and the reader of one format share a file."""
