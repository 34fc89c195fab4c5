"""Calls to the operating system that concern cores, memory, processes and files."""
