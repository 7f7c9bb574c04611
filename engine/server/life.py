"""How a process is told to go on, to reload and to end: signals, and the work that runs beside requests."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from engine.observe.log import Log


class Life:
    """One process's. `stopping` is set by the first wish to end, `hurry` by the second."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()

    def stop(self) -> None:
        """Drain and end; a second time: end at once."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def handle_signals(self, hangup: Callable[[], None]) -> None:
        """SIGTERM, SIGINT and SIGBREAK stop; SIGHUP calls `hangup`, unless it is to end."""

        def hang_up() -> None:
            if not self.stopping.is_set():
                hangup()

        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                _on_signal(loop, number, self.stop)
        number = getattr(signal, "SIGHUP", None)
        if number is not None:
            _on_signal(loop, number, hang_up)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run beside requests, until it ends or the process does. What it raises is told in the log."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def end_tasks(self) -> None:
        """Cancel what was spawned."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.fault("background_fault", error)


def _on_signal(loop: asyncio.AbstractEventLoop, number: int, act: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, act)
    except (NotImplementedError, RuntimeError):  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
