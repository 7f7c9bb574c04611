"""Runs the compiler in a process of its own: `python -m engine.control.compile_child`.

So the process that serves never holds the compiler in memory, and a compile, however long, never makes a
request wait. The first compile's child runs while this process imports what serving needs. That of the
reloads stays for a while after each: whoever edits saves again, and a warm compiler answers in a tenth of
the time. It is told which segments are here already and sends the others; they are read in slices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from engine.control import garbage, slices
from engine.control.compiled import Compiled, CompileFault, Receiver, cut_off, too_long
from engine.control.first_compile import LIMIT_S, MODULE
from engine.control.frames import frame
from engine.plan.plan import Plan

#: A child that nobody asks for so long is ended.
IDLE_S: Final = 60.0

#: After so many compiles a fresh child takes over: whatever one may pile up has an end.
MOST_COMPILES: Final = 500

_PIECE: Final = 256 * 1024


class Compiler:
    """Compiles a workspace as often as asked, one at a time, without making the event loop wait."""

    def __init__(self, workspace: Path, env: str | None, *, idle_s: float = IDLE_S) -> None:
        self.workspace = workspace
        self.env = env
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._done = 0
        self._receiver = Receiver()
        self._idle: asyncio.TimerHandle | None = None
        self._owes = False  # the child has still to say how keeping went
        self._ending: set[asyncio.Task[None]] = set()

    async def compile(self, running: Plan | None, keep: Path | None = None) -> Compiled:
        """Compile what the workspace holds now. Raises CompileFault; cancelling ends the child.

        running: the plan whose segments need not be sent again. keep: the file that a good result is also
        written to; `kept` waits for that.
        """
        whole = False
        if self._owes:
            await self.kept()
        try:
            async with asyncio.timeout(LIMIT_S):
                process = await self._child()
                await self._ask(process, running, keep)
                compiled = await self._answer(process, running, keeps=keep is not None)
            whole = True
            return compiled
        except TimeoutError:
            raise too_long(LIMIT_S) from None
        except OSError as error:
            raise CompileFault(f"the compiler cannot be started: {error.strerror or error}") from error
        finally:
            if not whole:
                await self.close()

    async def kept(self) -> str | None:
        """Wait until the last good result stands in its file. None where it does, else why it does not."""
        process, self._owes = self._process, False
        if process is None:
            return "the compiler has ended"
        try:
            async with asyncio.timeout(LIMIT_S):
                while not self._receiver.after:
                    await self._more(process)
        except (CompileFault, TimeoutError) as fault:
            await self.close()
            return str(fault) or "it took too long"
        told: dict[str, Any] = json.loads(self._receiver.after.pop(0)[1])
        why: str | None = told["why"]
        return why

    async def close(self) -> None:
        """End the child, now."""
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        self._owes = False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    # --- the child --------------------------------------------------------------------------------------

    async def _child(self) -> asyncio.subprocess.Process:
        if self._idle is not None:
            self._idle.cancel()
        if self._process is not None and (
            self._done >= MOST_COMPILES or self._process.returncode is not None
        ):
            await self.close()
        if self._process is None:
            self._done = 0
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULE,
                "--stay",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_PIECE,
            )
        self._done += 1
        return self._process

    def _give_up(self) -> None:
        """Nobody has asked for a while."""
        task = asyncio.get_running_loop().create_task(self.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _ask(
        self, process: asyncio.subprocess.Process, running: Plan | None, keep: Path | None
    ) -> None:
        assert process.stdin is not None
        job = {
            "workspace": str(self.workspace),
            "env": self.env,
            "keep": str(keep) if keep is not None else None,
        }
        with contextlib.suppress(ConnectionError):  # what it says, or that it ended, is read below
            if running is not None:
                process.stdin.write(frame(b"K", "".join(running.segments).encode()))
            process.stdin.write(frame(b"J", json.dumps(job).encode()))
            await process.stdin.drain()

    async def _answer(
        self, process: asyncio.subprocess.Process, running: Plan | None, *, keeps: bool
    ) -> Compiled:
        self._receiver = receiver = Receiver(running.segments if running is not None else None)
        await self._more(process)  # its first word is when it has compiled
        with garbage.quiet():
            while not receiver.ended:
                await self._more(process)
            await slices.run(receiver.finish())
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._give_up)
        compiled = receiver.result()
        self._owes = keeps and compiled.plan is not None
        return compiled

    async def _more(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        data = await process.stdout.read(_PIECE)
        if not data:
            raise cut_off(await process.wait())
        await slices.run(self._receiver.feed(data))
