"""Running the project's own commands as processes, as a user would, and ending them for sure."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil


def encore(*arguments: str, env: Mapping[str, str], timeout: float = 300) -> str:
    """Run an ``encore`` command to its end; return what it printed, fail if it failed."""
    done = encore_outcome(*arguments, env=env, timeout=timeout)
    assert done.returncode == 0, f"encore {arguments}: {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout


def encore_exit(*arguments: str, env: Mapping[str, str], timeout: float = 300) -> int:
    """Run an ``encore`` command that need not succeed to its end; return its exit code."""
    return encore_outcome(*arguments, env=env, timeout=timeout).returncode


def encore_outcome(
    *arguments: str, env: Mapping[str, str], timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run an ``encore`` command that need not succeed to its end; return what became of it."""
    return subprocess.run(
        [sys.executable, "-m", "encore", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def running(*arguments: str, env: Mapping[str, str], log: Path) -> Iterator["Program"]:
    """Run an ``encore`` command beside the test; kill it and all its children at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "encore", *arguments],
            env={**os.environ, **env},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        program = Program(process, log)
        try:
            yield program
        finally:
            program.kill()


def broker_process(bootstrap: str) -> psutil.Process:
    """Return the process that listens on the broker's port."""
    port = int(bootstrap.rsplit(":", 1)[1])
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            return psutil.Process(connection.pid)
    raise AssertionError(f"nothing listens on {port}")


class Program:
    """A running command."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Take the process and the file that it writes to."""
        self._process = process
        self._log = log

    def kill(self) -> None:
        """Kill the process and its children with SIGKILL, and wait until they are gone."""
        family = self._family()
        for one in family:
            try:
                one.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=30)
        self._process.wait(timeout=30)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the process and its children stand still until the end of the block."""
        family = self._family()
        for one in family:
            one.suspend()
        try:
            yield
        finally:
            for one in family:
                one.resume()

    def end(self, ask: signal.Signals, *, timeout: float) -> int:
        """Ask the process to end; return its exit code, fail if it does not end in time."""
        self.ask(ask)
        return self.ends(timeout=timeout)

    def ask(self, signal_: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(signal_)

    def ends(self, *, timeout: float) -> int:
        """Wait for the process to end by itself; return its exit code, fail if it does not."""
        return self._process.wait(timeout=timeout)

    @property
    def runs(self) -> bool:
        """Tell whether the process has not ended."""
        return self._process.poll() is None

    def wait_until(self, condition: Callable[[], bool], *, timeout: float, what: str) -> None:
        """Wait for a condition; fail when it does not come, or the command ends before."""
        deadline = time.monotonic() + timeout
        while not condition():
            ended = self._process.poll() is not None
            assert not ended, f"ended while waiting until {what}:\n{self._tail()}"
            assert time.monotonic() < deadline, f"waited {timeout} s until {what}:\n{self._tail()}"
            time.sleep(0.05)

    def _family(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]
