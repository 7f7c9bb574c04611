"""A TCP shim before a server: it hands bytes on, or cuts, holds, delays or answers itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator


class Shim:
    """Made by `before`. What it does may change at any time, also for connections that are open.

    held: nothing is handed on, nothing closed. delay: seconds before each piece of an answer. reply: what
    each command is answered instead of being handed on. refuse: new connections are closed at once.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.held = False
        self.delay = 0.0
        self.reply: bytes | None = None
        self.refuse = False
        self.opened = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._plugs: set[asyncio.StreamWriter] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Shim]:
        shim = cls(port)
        server = await asyncio.start_server(shim._serve, "127.0.0.1", 0, ssl=tls)
        shim.port = server.sockets[0].getsockname()[1]
        try:
            yield shim
        finally:
            server.close()
            await shim.close()

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def to(self, port: int) -> None:
        """New connections lead to another server."""
        self._to = port

    def cut(self) -> None:
        """Close every connection."""
        for plug in self._plugs:
            plug.transport.abort()
        self._plugs.clear()

    async def close(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self.refuse:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._plugs |= {writer, back}
        for work in (self._forth(reader, back, writer), self._back(there, writer, back)):
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forth(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._hold()
                if self.reply is not None:
                    back.write(self.reply * _commands(data))
                    continue
                to.write(data)
                await to.drain()
        to.transport.abort()

    async def _back(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._hold()
                if self.delay:
                    await asyncio.sleep(self.delay)
                to.write(data)
                await to.drain()
        to.transport.abort()

    async def _hold(self) -> None:
        while self.held:
            await asyncio.sleep(0.005)


def _commands(data: bytes) -> int:
    """How many commands stand in a piece that begins with one: arrays at the outermost level."""
    count, at = 0, 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        parts = int(data[at + 1 : end])
        at = end + 2
        for _ in range(parts):
            end = data.index(b"\r\n", at)
            at = end + 2 + int(data[at + 1 : end]) + 2
        count += 1
    return count
