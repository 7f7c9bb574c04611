"""One data worker as the supervisor sees it: its process, its channel, and its life after a death.

`run` keeps it going: start, wait for its end, wait a little, start again. The wait doubles with every death
up to `LONGEST_S` and begins anew once a worker has lived `STEADY_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

from engine.control.channel import Answers, Channel, ChannelClosed, Frame, Hears, Refused

#: Before the first restart, and the longest wait; a worker that lived so long starts the waits anew.
FIRST_S: Final = 0.1
LONGEST_S: Final = 10.0
STEADY_S: Final = 60.0

#: A worker may take so long to take a first plan or a new one: local models are loaded in it.
PREPARE_S: Final = 300.0
#: ... so long for a first word: an interpreter is started for it, on a machine that may be busy with others.
START_S: Final = 120.0
#: ... and so long for anything else. One that does not answer is ended.
ANSWER_S: Final = 10.0

State = Literal["starting", "up", "down", "ended"]


class WorkerFault(Exception):
    """A worker did not do what it was asked: it died, said no, or took too long. The text says which."""


class WorkerDied(WorkerFault):
    """It was gone before it answered, for whatever reason."""


class Worker:
    """Made by the fleet; `start` gives it a process.

    index: its number, from 0. listening: the sockets of the clients' address that it inherits.
    """

    def __init__(self, index: int, listening: Sequence[socket.socket]) -> None:
        self.index = index
        self.state: State = "down"
        self.revision: str | None = None
        self.restarts = 0
        self._listening = listening
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._began = 0.0
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def name(self) -> str:
        return f"worker {self.index}"

    async def launch(self, answers: Answers, hears: Hears) -> None:
        """A fresh interpreter with a channel; it waits for its plan. Raises OSError."""
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(sock.fileno() for sock in self._listening)]
        command = [sys.executable, "-m", "engine.server.data_worker", str(self.index), *map(str, fds)]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=fds
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.state = "starting"
        self._began = time.monotonic()
        self._channel = await Channel.open(ours, answers, hears, self._cut)

    async def ask(
        self, op: str, words: dict[str, Any] | None = None, data: bytes = b"", limit_s: float = ANSWER_S
    ) -> Frame:
        """Raises WorkerFault."""
        if self._channel is None:
            raise WorkerDied(f"{self.name} is not running")
        try:
            async with asyncio.timeout(limit_s):
                return await self._channel.ask(op, words, data)
        except TimeoutError:
            raise WorkerFault(f"{self.name} did not answer `{op}` within {limit_s:.0f} s") from None
        except ChannelClosed:
            raise WorkerDied(f"{self.name} died before it answered `{op}`") from None
        except Refused as refused:
            raise WorkerFault(str(refused)) from None

    def tell(self, op: str, words: dict[str, Any] | None = None) -> None:
        if self._channel is not None:
            self._channel.tell(op, words)

    async def ended(self) -> str:
        """Waits for the end of its process; how it ended, for people."""
        assert self._process is not None
        code = await self._process.wait()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self.state = "ended" if code == 0 else "down"
        if code >= 0:
            return f"exit status {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    def kill(self) -> None:
        """End the process without its help."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def next_wait_s(self) -> float:
        """How long to wait before it is started again, less up to half by chance; counts the death."""
        if time.monotonic() - self._began > STEADY_S:
            self._deaths = 0
        wait = min(FIRST_S * 2.0 ** min(self._deaths, 20), LONGEST_S)
        self._deaths += 1
        self.restarts += 1
        return wait * random.uniform(0.5, 1.0)

    def as_json(self) -> dict[str, Any]:
        """For `/admin/status`."""
        return {
            "worker": self.index,
            "pid": self.pid,
            "state": self.state,
            "revision": self.revision,
            "restarts": self.restarts,
        }

    def _cut(self) -> None:
        self.state = "down"
