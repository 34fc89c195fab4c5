"""What the operating system knows: cores, memory, processes, files."""
