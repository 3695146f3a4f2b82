"""Reading Spark's own record of a query: which offsets each micro-batch ends before.

A checkpoint is read through Hadoop's file system, so that it may lie on HDFS or an object store.
"""

import json
from typing import Any

from pyspark.sql import SparkSession


class Checkpoint:
    """The checkpoint folder of one query on one topic."""

    def __init__(self, spark: SparkSession, location: str, topic: str) -> None:
        """Take the folder, which need not exist yet."""
        jvm: Any = spark._jvm
        self.location = location
        self._topic = topic
        self._jvm = jvm
        self._root = jvm.org.apache.hadoop.fs.Path(location)
        self._files = self._root.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())

    def batch_ends(self, batch: int) -> dict[int, int]:
        """Return the offset after the last of each partition, as planned for a micro-batch."""
        lines = self._read(f"offsets/{batch}").splitlines()
        # A version, the batch's metadata, then a line for each source: here there is one.
        return {int(number): end for number, end in json.loads(lines[2])[self._topic].items()}

    def committed_ends(self) -> dict[int, int] | None:
        """Return the ends of the newest micro-batch that Spark committed, if there is any."""
        newest = self._newest("commits")
        return None if newest is None else self.batch_ends(newest)

    def set_aside(self, suffix: str) -> str:
        """Rename the folder, so that the query starts anew; return where it went."""
        aside = f"{self.location}.{suffix}"
        self._files.rename(self._root, self._jvm.org.apache.hadoop.fs.Path(aside))
        return aside

    def exists(self) -> bool:
        """Tell whether there is a checkpoint."""
        return bool(self._files.exists(self._root))

    def _newest(self, folder: str) -> int | None:
        path = self._path(folder)
        if not self._files.exists(path):
            return None
        names = [str(one.getPath().getName()) for one in self._files.listStatus(path)]
        return max((int(name) for name in names if name.isdigit()), default=None)

    def _read(self, name: str) -> str:
        stream = self._files.open(self._path(name))
        try:
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def _path(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self._root, name)
