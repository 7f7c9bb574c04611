"""Messages over a pipe or in a file: a letter for the kind, four bytes of length, then as many bytes.

Sans-IO: `frame` makes one, `Frames` takes bytes as they come and gives those that are whole. Between the
compiling child and the sidecar, between a supervisor and its workers, and in the file of the last good plan.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_HEAD: Final = struct.Struct(">cI")

#: No message is larger: what says so is no stream of ours. A dialect's segment has some hundred KiB.
LARGEST: Final = 64 * 2**20


class FrameError(ValueError):
    """The bytes are no frames."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One message. `kind`: a single letter."""
    return _HEAD.pack(kind, len(payload)) + payload


class Frames:
    """The messages in a stream of bytes."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every message that is whole now, as (kind, payload). Raises FrameError."""
        held = self._held
        held += data
        at = 0
        try:
            while len(held) - at >= _HEAD.size:
                kind, length = _HEAD.unpack_from(held, at)
                if length > LARGEST or not kind.isalpha():
                    raise FrameError("what came over the pipe is no message")
                end = at + _HEAD.size + length
                if len(held) < end:
                    break
                payload = bytes(memoryview(held)[at + _HEAD.size : end])
                at = end
                yield kind, payload
        finally:
            del held[:at]

    @property
    def empty(self) -> bool:
        """Whether nothing of an unfinished message is held."""
        return not self._held
