"""Two processes of one sidecar talking over a socket pair: each may ask the other, each may tell.

A frame is two lengths (4 bytes each, big-endian), a JSON head and raw bytes (a plan's segments, a body). A
head with `op` asks or tells, one with `re` answers. What arrives is taken in the order it was sent: a
telling at once, an asking in a task of its own, so that a slow answer holds up nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

_LENGTHS: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Frame:
    """What the other side says: its words by name, and bytes beside them."""

    words: dict[str, Any] = field(default_factory=dict)
    data: bytes = b""


Answers = Callable[[str, Frame], Awaitable[Frame]]
Hears = Callable[[str, Frame], None]


class Refused(Exception):
    """The other side could not do what it was asked; `words` say more than the text, where it had more."""

    def __init__(self, why: str, words: dict[str, Any] | None = None) -> None:
        super().__init__(why)
        self.words = words or {}


class ChannelClosed(Exception):
    """The other side is gone, so there is no answer and never will be."""


class Channel(asyncio.Protocol):
    """One end. Made by `open`.

    answers: does what is asked (op, frame); raises Refused to say no. hears: takes what is told.
    closed: called once, when the other side is gone.
    """

    def __init__(self, answers: Answers, hears: Hears, closed: Callable[[], None]) -> None:
        self._answers, self._hears, self._closed = answers, hears, closed
        self._transport: asyncio.Transport | None = None
        self._arrived = bytearray()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Frame]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, sock: socket.socket, answers: Answers, hears: Hears, closed: Callable[[], None]
    ) -> Channel:
        """`sock`: one of a `socket.socketpair()`; it belongs to the channel from now on."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(answers, hears, closed), sock=sock)
        return channel

    async def ask(self, op: str, words: dict[str, Any] | None = None, data: bytes = b"") -> Frame:
        """The other side's answer. Raises Refused where it says no, ChannelClosed where it is gone."""
        number = next(self._numbers)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._send({"op": op, "n": number, "words": words or {}}, data)
            return await answer
        finally:
            self._asked.pop(number, None)

    def tell(self, op: str, words: dict[str, Any] | None = None) -> None:
        """Said without an answer; lost where nobody is there any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._send({"op": op, "words": words or {}}, b"")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- what asyncio calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived
        arrived += data
        at = 0
        while len(arrived) - at >= _LENGTHS.size:
            head, raw = _LENGTHS.unpack_from(arrived, at)
            end = at + _LENGTHS.size + head + raw
            if len(arrived) < end:
                break
            begin = at + _LENGTHS.size
            with memoryview(arrived) as view:
                said, beside = orjson.loads(view[begin : begin + head]), bytes(view[begin + head : end])
            self._take(said, beside)
            at = end
        del arrived[:at]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ChannelClosed())
        for task in self._tasks:
            task.cancel()
        self._closed()

    # --- frames -----------------------------------------------------------------------------------------

    def _take(self, said: dict[str, Any], data: bytes) -> None:
        if "re" in said:
            answer = self._asked.get(said["re"])
            if answer is not None and not answer.done():
                _settle(answer, said, data)
            return
        frame = Frame(said["words"], data)
        if "n" not in said:
            self._hears(said["op"], frame)
            return
        task = asyncio.get_running_loop().create_task(self._answer(said["n"], said["op"], frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, op: str, frame: Frame) -> None:
        try:
            answer = await self._answers(op, frame)
            head: dict[str, Any] = {"re": number, "words": answer.words}
            data = answer.data
        except Refused as refused:
            head, data = {"re": number, "no": str(refused), "words": refused.words}, b""
        except Exception as error:  # noqa: BLE001 - a fault here is told to who asked, who can say it aloud
            head, data = {"re": number, "no": f"{type(error).__name__}: {error}", "words": {}}, b""
        if self._transport is not None:
            self._send(head, data)

    def _send(self, head: dict[str, Any], data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ChannelClosed
        said = orjson.dumps(head)
        self._transport.writelines((_LENGTHS.pack(len(said), len(data)), said, data))


def _settle(answer: asyncio.Future[Frame], said: dict[str, Any], data: bytes) -> None:
    if "no" in said:
        answer.set_exception(Refused(said["no"], said["words"]))
    else:
        answer.set_result(Frame(said["words"], data))
