"""Check a finished dataset against its manifest, or rebuild it from its inputs and compare."""
