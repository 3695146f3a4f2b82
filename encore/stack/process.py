"""Processes that outlive the command that started them: start, recognise, stop."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from encore.stack.account import Account

SAME_PROCESS_SECONDS = 2.0  # psutil derives the start from the wall clock, which may be corrected


def spawn(
    command: Sequence[str],
    *,
    log_file: Path,
    environment: Mapping[str, str],
    account: Account | None = None,
    folder: Path,
) -> psutil.Process:
    """Start a process of its own session, its output appended to a file."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    identity: dict[str, Any] = account.popen_arguments() if account else {}
    with log_file.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            **identity,
        )
    _forget(child)
    return psutil.Process(child.pid)


def _forget(child: "subprocess.Popen[bytes]") -> None:
    # The server is meant to outlive this object, which would otherwise warn when collected.
    child.returncode = 0


def find(pid: int, created: float) -> psutil.Process | None:
    """Return the process that was recorded, or None if it is gone or its number was reused."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < SAME_PROCESS_SECONDS
    except psutil.Error:
        return None
    return process if same and alive(process) else None


def alive(process: psutil.Process) -> bool:
    """Tell whether the process runs, reaping it if it is our own child that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def find_by(matches: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    """Yield the live processes that match, skipping those we may not look at."""
    for process in psutil.process_iter():
        try:
            if matches(process) and alive(process):
                yield process
        except psutil.Error:
            continue


def stop(process: psutil.Process, *, ask: signal.Signals, seconds: float) -> bool:
    """Ask a process to end, and kill it after ``seconds``; return whether it ended when asked."""
    try:
        process.send_signal(ask)
        if _ended(process, seconds):
            return True
        process.kill()
    except psutil.NoSuchProcess:
        return True
    _ended(process, 10.0)
    return False


def _ended(process: psutil.Process, seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except psutil.TimeoutExpired:
        return False
    return True


def free_port(preferred: Sequence[int]) -> int:
    """Return the first preferred port that nothing uses, else any free one, on 127.0.0.1."""
    for port in preferred:
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(process: psutil.Process, port: int) -> bool:
    """Tell whether this process is the one that listens on a port."""
    return any(
        one.status == psutil.CONN_LISTEN and one.laddr.port == port
        for one in process.net_connections("tcp")
    )


def tail(log_file: Path, lines: int = 3) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:])
