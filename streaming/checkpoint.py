"""Spark's own record of a query, of which one thing is read: where each micro-batch ends.

Progress is kept in PostgreSQL, so a checkpoint is scratch: every start makes a new one and
begins at the recorded offsets. Losing it, or finding one of another version, means nothing.
"""

import json
import shutil
from pathlib import Path


class Checkpoint:
    """The checkpoint folder of one run of one query, on the driver's disk."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, and empty it of what an earlier run left."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder

    @property
    def location(self) -> str:
        """Return the folder as Spark wants it, on the driver's disk whatever Spark's default is."""
        return f"file://{self._folder.resolve()}"

    def batch_ends(self, batch: int) -> dict[int, int]:
        """Return the offset after the last of each partition, as planned for a micro-batch."""
        lines = (self._folder / "offsets" / str(batch)).read_text("utf-8").splitlines()
        # A version, the batch's metadata, then a line for each source: here there is one.
        (ends,) = json.loads(lines[2]).values()
        return {int(number): end for number, end in ends.items()}

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
