"""Run the command line as ``python -m sftprep``."""

from sftprep.cli.app import main

main()
