"""Ending the job on request: the batch in hand ends, then the job, with exit code 0.

``spark-submit`` runs the driver's JVM, which runs this Python: a SIGTERM reaches the JVM, and
its shutdown would stop Spark under the batch. A hook that runs before Spark's own asks for the
end and waits until it is there.
"""

import signal
import threading
from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError
from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession

# Hooks of a higher priority run first; Hadoop's file systems have 10, Spark's own hook 40.
_PRIORITY = 100
_LONGEST_BATCH_SECONDS = 300
_HALT_SECONDS = 10


class Stop:
    """A request to end, and the news that it is done."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.requested = threading.Event()
        self._done = threading.Event()
        self._hooked = threading.Event()
        self._halted = threading.Event()

    def on_signals(self, spark: SparkSession) -> None:
        """Take SIGTERM and Ctrl-C, to this process or to the JVM above it, as the request."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.requested.set())
        ensure_callback_server_started(spark.sparkContext._gateway)  # type: ignore[no-untyped-call]
        jvm: Any = spark._jvm
        hooks = jvm.org.apache.hadoop.util.ShutdownHookManager.get()
        seconds = jvm.java.util.concurrent.TimeUnit.SECONDS
        # A Java thread around it has the hashCode and equals that Hadoop's set of hooks asks for.
        hook = jvm.java.lang.Thread(_Hook(self, jvm))
        hooks.addShutdownHook(hook, _PRIORITY, _LONGEST_BATCH_SECONDS, seconds)

    def done(self) -> None:
        """Say that nothing is in hand any more; return when a JVM that waits for it has ended.

        This process must not end before: the JVM would take its end for the signal's.
        """
        self._done.set()
        if self._hooked.is_set():
            self._halted.wait(_HALT_SECONDS)

    def halted(self) -> None:
        """Say that the JVM has ended, or cannot be ended."""
        self._halted.set()

    def request_and_wait(self) -> bool:
        """Request the end for the JVM; return whether it had not come already."""
        self._hooked.set()
        if self._done.is_set():
            return False
        self.requested.set()
        return self._done.wait(_LONGEST_BATCH_SECONDS)


class _Hook:
    """A java.lang.Runnable for the JVM's shutdown."""

    def __init__(self, stop: Stop, jvm: Any) -> None:
        self._stop = stop
        self._jvm = jvm

    def run(self) -> None:
        if self._stop.request_and_wait():
            # Whoever sent the signal learns that the end was clean.
            with suppress(Py4JError, OSError):
                self._jvm.java.lang.Runtime.getRuntime().halt(0)
        self._stop.halted()

    class Java:
        implements = ("java.lang.Runnable",)
