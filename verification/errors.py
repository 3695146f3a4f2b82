"""Errors of a verification that cannot be made."""

from encore.errors import EncoreError


class ImpossibleError(EncoreError):
    """What was counted can no longer be recomputed, so nothing is said about the numbers.

    It has a code of its own, since 1 says that the numbers are wrong.
    """

    exit_code = 2
