"""Where the Python workers of the stream are forked: Spark's own daemon, with the task loaded.

Spark starts it by ``spark.python.daemon.module``. Each worker would else load the same modules for
itself, which the first batch waits for, and look through them all whenever it collects garbage,
which Spark asks of it after every task.
"""

import gc

from pyspark.daemon import manager

import streaming.task  # noqa: F401 (loaded for those that are forked)

if __name__ == "__main__":
    gc.freeze()
    manager()
