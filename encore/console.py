"""Where commands print tables."""

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH: Final = 160


def console() -> "Console":
    """Return standard output as rich prints to it, as wide as the terminal.

    A file or a pipe has no width of its own, and gets one that cuts no table of ours, whatever
    `COLUMNS` says of a terminal that is elsewhere.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH)
