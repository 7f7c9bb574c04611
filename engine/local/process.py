"""A worker process as the parent's event loop sees it: start, send, hear, end.

The callbacks run in the loop. `on_exit` comes after the last report, when the pipes are closed, so nothing
that the worker said is lost behind its death.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import site
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from engine.local.protocol import Command, Lines, encode

log = logging.getLogger("engine.local")

ROOT = Path(__file__).resolve().parents[2]  # where the package `engine` lies
STDERR_KEPT = 4096  # bytes of a worker's last words

OnReport = Callable[[dict[str, Any]], None]
OnExit = Callable[[], None]


class WorkerProcess(asyncio.SubprocessProtocol):
    """One running worker. Made by `spawn`."""

    def __init__(self, on_report: OnReport, on_exit: OnExit) -> None:
        self.on_report, self.on_exit = on_report, on_exit
        self._lines = Lines()
        self._stderr = bytearray()
        self._gone = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def spawn(cls, on_report: OnReport, on_exit: OnExit) -> WorkerProcess:
        """Starts `python -m engine.local.worker`. Raises `OSError` if the system cannot."""
        loop = asyncio.get_running_loop()
        command = [sys.executable, "-P", "-m", "engine.local.worker"]  # -P: nothing from the current folder
        _, worker = await loop.subprocess_exec(lambda: cls(on_report, on_exit), *command, env=_environment())
        return worker

    @property
    def pid(self) -> int:
        assert self._transport is not None  # `spawn` returns after `connection_made`
        return self._transport.get_pid()

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._gone.done()

    def send(self, command: Command) -> None:
        """Queues a command; says nothing if the worker is gone (`on_exit` does)."""
        if self._transport is not None and not self._gone.done():
            pipe = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
            if not pipe.is_closing():
                pipe.write(encode(command))

    def kill(self) -> None:
        """Ends the process without its help."""
        if self._transport is not None and self._transport.get_returncode() is None:
            try:
                self._transport.kill()
            except ProcessLookupError:
                return  # it was quicker

    async def stop(self, grace_s: float) -> None:
        """Asks it to end, kills it after `grace_s`; returns when it is gone."""
        self.send({"op": "stop"})
        try:
            await asyncio.wait_for(asyncio.shield(self._gone), grace_s)
        except TimeoutError:
            log.warning("worker %s did not end within %s s and is killed", self.pid, grace_s)
            self.kill()
            await self._gone

    async def gone(self) -> None:
        """Returns when the process has ended and its pipes are closed."""
        await asyncio.shield(self._gone)

    def epitaph(self) -> str:
        """How it ended, with the last line it wrote to stderr."""
        code = self._transport.get_returncode() if self._transport is not None else None
        if code is not None and code < 0:
            try:
                how = f"was ended by {signal.Signals(-code).name}"
            except ValueError:
                how = f"was ended by signal {-code}"
        else:
            how = f"ended with exit status {code}"
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        return f"the worker process {how}" + (f": {lines[-1]}" if lines else "")

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._stderr += data
            del self._stderr[:-STDERR_KEPT]
            return
        try:
            reports = self._lines.feed(data)
        except ValueError:
            log.exception("worker %s wrote what is no message and is killed", self.pid)
            self.kill()
            return
        for report in reports:
            self.on_report(report)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()  # it has ended, but asyncio wants it said
        if not self._gone.done():
            self._gone.set_result(None)
        self.on_exit()


def _environment() -> dict[str, str]:
    """This process's environment, telemetry off, and a way to the package where it is not installed."""
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}
    if str(ROOT) not in (*site.getsitepackages(), site.getusersitepackages()):
        rest = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{rest}" if rest else str(ROOT)
    return environment
