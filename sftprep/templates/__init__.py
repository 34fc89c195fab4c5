"""Conversations -> pieces: built-in and user templates, and chat templates in Jinja."""
