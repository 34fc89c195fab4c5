"""Check a dataset against its manifest, and build it again to compare."""
