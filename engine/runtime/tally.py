"""What has come of a flowing answer so far: whether content was in it, its usage, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from engine.runtime import tokens
from engine.runtime.tokenizers import Count
from engine.upstream.protocol import Chunk
from engine.wire.canonical import CONTENT_EVENTS, Error, Event, Reply, Usage
from engine.wire.operations import AnyReply


class Tally:
    """Looks once at every event of a stream, as it arrives.

    choices: how many answers are wanted. keep: their texts are kept, so that they can be counted.
    """

    __slots__ = ("_choices", "_finished", "_read", "_texts", "_unread", "content", "error", "finish", "usage")

    def __init__(self, choices: int = 1, *, keep: bool = False) -> None:
        self._texts: list[str] | None = [] if keep else None
        self._choices = choices
        self._finished = 0
        self.content = False
        self._read = 0
        self._unread: Callable[[], int] | None = None
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.error: Error | None = None

    @property
    def begun(self) -> bool:
        """An answer has begun: content came, or the end of an empty answer."""
        return self.content or self.finish is not None

    @property
    def whole(self) -> bool:
        """Every answer has come to its end: only words about them can follow."""
        return self._finished >= self._choices

    def size(self) -> int:
        """Bytes of content; of what passed through unread, about."""
        return self._read + (0 if self._unread is None else self._unread())

    def tokens(self, count: Count | None) -> int:
        """About how many tokens of content came."""
        if count is None or self._texts is None or self._unread is not None:
            return tokens.guess(self.size())
        return count("".join(self._texts))

    def take(self, chunk: Chunk) -> None:
        if chunk.unread is not None:
            self._unread = chunk.unread
        for event in chunk.events:
            kind = event["type"]
            if kind in CONTENT_EVENTS:
                self.content = True
                for text in (event.get("text"), event.get("arguments")):
                    if text:
                        self._read += tokens.size(text)
                        if self._texts is not None:
                            self._texts.append(text)
            elif kind == "finish":
                self._finished += 1
                self.finish = event.get("finish_reason")
            elif kind == "usage":
                self.usage = event["usage"]
            elif kind == "error":
                self.error = event["error"]
                if "usage" in event:
                    self.usage = _so_far(event["usage"], tokens.guess(self.size()))


def _so_far(told: Usage, output: int) -> Usage:
    """What a vendor had counted where its stream broke. Some count at the end only and begin with a 1: where
    so much more had come (`output`, a guess), that is no count.
    """
    if 2 * told.get("output_tokens", 0) >= output:
        return told
    return cast(Usage, {name: count for name, count in told.items() if "output" not in name})


def error_event(error: Error) -> Event:
    return Event(type="error", error=error)


def reply_tokens(reply: AnyReply, count: Count | None) -> int:
    """About how many tokens of content a whole answer has; 0 where it is no text."""
    texts = [
        text
        for choice in cast(Reply, reply).get("choices", ())
        for part in choice.get("message", {}).get("content", ())
        for text in (part.get("text"), part.get("arguments"))
        if text
    ]
    if count is None:
        return tokens.guess(sum(map(tokens.size, texts)))
    return count("".join(texts))
