"""The command line: commands, terminal, progress bar and summary. It prepares no data itself."""
