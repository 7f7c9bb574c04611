"""How events become bytes and bytes become events: the table of what dialects may name.

Decoders share one interface: `feed(bytes)` and `eof()` give whole `Frame`s, wherever the bytes were cut, and
raise `StreamFormatError` for what is no such stream. An encoder makes the bytes of one event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from engine.wire import eventstream, json_array, ndjson, sse
from engine.wire.sse import LINE_CAP, Frame


class Decoder(Protocol):
    """Bytes as they come into frames."""

    def feed(self, data: bytes) -> list[Frame]: ...

    def eof(self) -> list[Frame]: ...


@dataclass(frozen=True, slots=True)
class Framing:
    """One way to frame events.

    media_type: the content type of such a stream. options: names that `options` may hold.
    encode: one event from its JSON and its name; None: only read. wrapped: the name of an event is not one of
        its members but the one key around it, as in `{messageStop: {...}}`.
    comment: bytes between events that every reader skips; empty: there are none.
    """

    media_type: str
    decoder: Callable[[Mapping[str, Any]], Decoder]
    encode: Callable[[bytes, str], bytes] | None = None
    wrapped: bool = False
    options: tuple[str, ...] = ()
    comment: bytes = b""


FRAMINGS: Final[Mapping[str, Framing]] = {
    "sse": Framing(
        "text/event-stream",
        lambda options: sse.SseDecoder(options.get("line", LINE_CAP)),
        sse.encode,
        options=("data", "line"),
        comment=b": \n\n",
    ),
    "ndjson": Framing(
        "application/x-ndjson",
        lambda options: ndjson.NdjsonDecoder(options.get("line", LINE_CAP)),
        ndjson.encode,
        options=("line",),
    ),
    "aws_eventstream": Framing(
        eventstream.MEDIA_TYPE,
        lambda options: eventstream.EventStreamDecoder(inner=options.get("inner") == "base64-json"),
        eventstream.encode,
        wrapped=True,
        options=("inner",),
    ),
    "json_array": Framing(json_array.MEDIA_TYPE, lambda _: json_array.JsonArrayDecoder()),
}
