"""The life of one local server: recognise a running one, start, check, stop."""

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil

from encore.errors import ServiceUnavailableError
from encore.log import get_logger
from encore.stack import layout
from encore.stack.process import alive, find, find_by, free_port, listens, stop, tail
from encore.stack.state import ServerState, read_state, write_state

log = get_logger("stack")

ATTEMPTS = 3
PORT_TAKEN = "Address already in use"


class Server(ABC):
    """A server of the local stack. ``up`` and ``down`` may be called in any state.

    ``start`` in order: recognise a server that runs already (recorded, or known by its data
    folder), choose a port, prepare the data, start the process, record it, wait until a real
    call is answered. The record is written before the wait, so that an interrupted start leaves
    nothing unknown behind.
    """

    name: str
    title: str
    stop_signal: signal.Signals
    stop_seconds: float
    start_seconds: float

    @abstractmethod
    def preferred_port(self) -> int:
        """Return the port to take when nothing is recorded."""

    @abstractmethod
    def data_folder(self) -> Path:
        """Return the folder that makes this server this server."""

    @abstractmethod
    def is_ours(self, process: psutil.Process) -> bool:
        """Tell whether a process is this server on this data folder."""

    @abstractmethod
    def port_of(self, process: psutil.Process) -> int:
        """Return the port on which a process that ``is_ours`` listens."""

    @abstractmethod
    def launch(self, port: int) -> psutil.Process:
        """Prepare the data and start the process."""

    @abstractmethod
    def check(self, port: int) -> None:
        """Make a real call; raise any exception if it is not answered."""

    @abstractmethod
    def settle(self, port: int) -> None:
        """Bring a server that has just started into the wanted shape."""

    def running(self) -> ServerState | None:
        """Return where the server runs now, or None."""
        state = read_state(layout.state_file(self.name))
        if state and Path(state.data) == self.data_folder():
            process = find(state.pid, state.created)
            if process is not None and self.is_ours(process):
                return state
        return self._adopt()

    def _adopt(self) -> ServerState | None:
        for process in find_by(self.is_ours):
            try:
                return self._record(process, self.port_of(process))
            except (psutil.Error, ValueError, OSError):
                continue
        return None

    def _record(self, process: psutil.Process, port: int) -> ServerState:
        state = ServerState(
            self.name, process.pid, process.create_time(), port, str(self.data_folder())
        )
        write_state(layout.state_file(self.name), state)
        return state

    def up(self) -> ServerState:
        """Start the server unless it runs, and wait until it answers.

        Raises:
            ServiceUnavailableError: it ended, or did not answer in time.
        """
        state = self.running()
        if state is None:
            state = self._start_somewhere()
            log.info("started", service=self.name, port=state.port, pid=state.pid)
        else:
            self._wait(state)
        self.settle(state.port)
        return state

    def _start_somewhere(self) -> ServerState:
        for _ in range(ATTEMPTS - 1):
            state = self._start()
            try:
                self._wait(state)
            except ServiceUnavailableError:
                if PORT_TAKEN not in tail(layout.log_file(self.name), lines=40):
                    raise
                log.info("another server was faster on the port", port=state.port)
            else:
                return state
        state = self._start()
        self._wait(state)
        return state

    def _start(self) -> ServerState:
        last = read_state(layout.state_file(self.name))
        recorded = [last.port] if last else []
        port = free_port([*recorded, self.preferred_port()])
        return self._record(self.launch(port), port)

    def _wait(self, state: ServerState) -> None:
        deadline = time.monotonic() + self.start_seconds
        while True:
            try:
                self._check_ours(state)
            except Exception as error:
                self._still_hopeful(state, deadline, error)
                time.sleep(0.1)
            else:
                return

    def _check_ours(self, state: ServerState) -> None:
        # Another checkout's server may have taken the port since it was found free.
        process = find(state.pid, state.created)
        if process is None or not listens(process, state.port):
            raise ServiceUnavailableError(f"it does not listen on port {state.port}")
        self.check(state.port)

    def _still_hopeful(self, state: ServerState, deadline: float, error: Exception) -> None:
        where = layout.log_file(self.name)
        process = find(state.pid, state.created)
        if process is None or not alive(process):
            raise ServiceUnavailableError(
                f"{self.title} ended while starting: {tail(where)} (log: {where})"
            ) from error
        if time.monotonic() > deadline:
            raise ServiceUnavailableError(
                f"{self.title} runs (pid {state.pid}) but did not answer within "
                f"{self.start_seconds:.0f} s: {error} (log: {where})"
            ) from error

    def down(self) -> bool:
        """Stop the server if it runs; return whether it did."""
        state = self.running()
        process = find(state.pid, state.created) if state else None
        if process is None:
            return False
        asked = stop(process, ask=self.stop_signal, seconds=self.stop_seconds)
        log.info("stopped", service=self.name, pid=process.pid, killed=not asked)
        return True
