"""Processes of a benchmark: started on a core of their own, ended when the run ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.bench.loop import pin


class BenchError(Exception):
    """A run that cannot be made: a process that did not start, a machine that is too small."""


class Process:
    """One child: prints a JSON line when it is ready, ends when its stdin closes or it is told to."""

    def __init__(self, args: Sequence[str], *, core: int | None, cwd: Path | None = None) -> None:
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            text=True,
        )
        if core is not None:
            pin(self._process.pid, core)
        line = self._out.readline()
        self.ready_ms = (time.perf_counter() - self._started) * 1e3
        if not line:
            self._process.wait(10)
            raise BenchError(f"{args[1] if len(args) > 1 else args[0]} did not start: {self._errors()}")
        self.hello: dict[str, Any] = json.loads(line)

    @property
    def _out(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout

    def _errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read()[-2000:].strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, line: str) -> None:
        """A line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next JSON line of its stdout."""
        if not select.select([self._out], [], [], timeout)[0]:
            raise BenchError(f"{self._process.args!r} said nothing for {timeout:.0f} s")
        line = self._out.readline()
        if not line:
            raise BenchError(f"a process of the bench ended: {self._errors()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def memory_kib(self) -> int | None:
        """Resident memory now, in KiB; None where the system does not say."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return None

    def open_files(self) -> int | None:
        """Open file descriptors; None where the system does not say."""
        try:
            return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())
        except OSError:
            return None

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


def run_json(args: Sequence[str], *, core: int | None, timeout: float) -> dict[str, Any]:
    """Run one of our modules to its end on `core` and read the JSON line it prints."""
    process = subprocess.Popen(
        [sys.executable, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if core is not None:
        pin(process.pid, core)
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise BenchError(f"{args[1]} did not end within {timeout:.0f} s") from None
    if process.returncode != 0:
        raise BenchError(f"{args[1]} failed: {errors[-2000:].strip()}")
    answer: dict[str, Any] = json.loads(out)
    return answer


def wall_seconds(args: Sequence[str], *, cwd: Path | None = None) -> float:
    """How long a whole process takes, interpreter start included."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, env={**os.environ}, check=False
    )
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise BenchError(f"{' '.join(args)} exited {done.returncode}: {done.stderr[-2000:].strip()}")
    return took
