"""Run the command line: ``python -m encore`` is ``encore``."""

from encore.cli import main

main()
