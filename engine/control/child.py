"""Runs the compiler in a process of its own: `python -m engine.control.compile_child WS [--env E]`.

So the process that serves never holds the compiler in memory, and a compile, however long, never makes a
request wait. At the start the child runs while this process imports what serving needs.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final

from engine.control.compiled import Compiled, CompileFault

#: A compile that takes longer than this is given up.
LIMIT_S: Final = 60.0


def _command(workspace: Path, env: str | None, *, colour: bool) -> list[str]:
    command = [sys.executable, "-m", "engine.control.compile_child", str(workspace)]
    if env is not None:
        command += ["--env", env]
    if colour:
        command.append("--colour")
    return command


class FirstCompile:
    """A compile that was begun before there is an event loop; `result` waits for it."""

    def __init__(self, workspace: Path, env: str | None, *, colour: bool) -> None:
        self._process = subprocess.Popen(
            _command(workspace, env, colour=colour), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )

    def result(self) -> Compiled:
        """Raises CompileFault."""
        try:
            out, _ = self._process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.stop()
            raise CompileFault(f"the compiler did not end within {LIMIT_S:.0f} s") from None
        except BaseException:
            self.stop()
            raise
        return _read(self._process.returncode, out)

    def stop(self) -> None:
        """End the child; harmless where it has ended."""
        self._process.kill()
        self._process.communicate()


async def compile_in_child(workspace: Path, env: str | None) -> Compiled:
    """Compile once, without making the event loop wait. Raises CompileFault; cancelling ends the child."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(workspace, env, colour=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        raise CompileFault(f"the compiler cannot be started: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(LIMIT_S):
            out, _ = await process.communicate()
    except TimeoutError:
        raise CompileFault(f"the compiler did not end within {LIMIT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # In a thread: a large plan takes a while to read and to check.
    return await asyncio.to_thread(_read, process.returncode, out)


def _read(code: int | None, out: bytes) -> Compiled:
    if code != 0:
        raise CompileFault(f"the compiler ended with {code}; what it printed stands in the log above")
    return Compiled.load(out)
