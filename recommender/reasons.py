"""How the reason for a recommendation is put into words."""

from typing import Final

PLAYED: Final = "because you played {title}"
NEW_LIKE: Final = "new, and like {title}"
