"""``python -m sftprep``."""

from sftprep.cli import main

main()
