"""``python -m sftprep``."""

from sftprep.cli.app import main

main()
