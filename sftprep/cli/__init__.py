"""The command line: commands, terminal, progress bars, and words for people. It holds no logic."""
