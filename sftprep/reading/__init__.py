"""Places -> bytes -> blocks of whole records."""
