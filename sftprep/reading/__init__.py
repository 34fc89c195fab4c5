"""Read inputs: paths become bytes, bytes become blocks of whole records, blocks become dicts."""
