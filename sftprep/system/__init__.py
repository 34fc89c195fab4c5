"""What the program asks of the operating system: cores, memory, processes and files."""
