"""Conversations -> pieces: built-in and user templates in YAML, and chat templates in Jinja."""
