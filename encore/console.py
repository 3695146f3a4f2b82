"""Where commands print tables."""

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH: Final = 160  # of a file or a pipe, which have none of their own


def console() -> "Console":
    """Return standard output as rich prints to it: as wide as the terminal, or as `COLUMNS` says.

    Elsewhere it is wide enough that no table of ours is cut.
    """
    from rich.console import Console

    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if told else _WIDTH)
