"""Canonical events into a client's stream, by the dialect's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from engine.plan.code import bind_template
from engine.plan.vendors import StreamWrite
from engine.wire.canonical import Event, Request
from engine.wire.framing import FRAMINGS
from engine.wire.stream_reader import BoundRule


class BoundStreamWrite:
    """What all streams of one operation share."""

    __slots__ = (
        "comment", "encode", "ending", "error", "media_type", "named", "numbered", "rules", "sentinel",
        "state", "wrapped",
    )  # fmt: skip

    def __init__(self, plan: StreamWrite) -> None:
        framing = FRAMINGS[plan.encoder]
        assert framing.encode is not None
        self.encode: Callable[[bytes, str], bytes] = framing.encode
        self.media_type = framing.media_type
        self.comment = framing.comment
        self.wrapped = framing.wrapped
        self.named = plan.named_events
        self.numbered = plan.numbered
        self.state = dict(plan.state)
        self.rules = tuple(BoundRule(rule) for rule in plan.rules)
        self.error = bind_template(plan.error)
        self.sentinel = self.encode(plan.sentinel.encode(), "") if plan.sentinel is not None else b""
        self.ending = self.sentinel
        if plan.ending is not None:
            name = str(plan.ending.get("type", "")) if plan.named_events else ""
            self.ending = self.encode(orjson.dumps(plan.ending), name)


class StreamWriter:
    """Writes one stream."""

    __slots__ = ("_bound", "_count", "_request", "_state")

    def __init__(self, bound: BoundStreamWrite, request: Request) -> None:
        self._bound = bound
        self._request = request
        self._state = dict(bound.state)
        self._count = 0

    @property
    def media_type(self) -> str:
        """The content type of the stream."""
        return self._bound.media_type

    @property
    def comment(self) -> bytes:
        """Bytes between events that every reader skips; empty where the format has none."""
        return self._bound.comment

    def events(self, events: list[Event]) -> bytes:
        """The bytes of these events, together."""
        return b"".join([self._encode(body) for event in events for body in self._bodies(event)])

    def usage(self, event: Event, theirs: bytes | None) -> bytes | None:
        """The usage event of a stream whose other bytes pass through: theirs, with what only ours says; None
        where that is nothing.

        Args:
            event: the canonical event; what its `served` becomes in this format is added.
            theirs: the datum of the vendor's own event; None where there was none: then it is all ours.
        """
        told = self._bodies(event)
        if theirs is None:
            return b"".join([self._encode(body) for body in told])
        plain = self._bodies({"type": "usage", "usage": event["usage"]})
        added = {
            key: value
            for ours, without in zip(told, plain, strict=True)
            for key, value in ours.items()
            if key not in without
        }
        if not added:
            return None
        return self._encode({**orjson.loads(theirs.decode("utf-8", "replace")), **added})

    def _bodies(self, event: Event) -> list[dict[str, Any]]:
        """What the rules make of one event."""
        out: list[dict[str, Any]] = []
        state, request = self._state, self._request
        for rule in self._bound.rules:
            if rule.when is not None and not rule.when(event, state, request):
                continue
            if rule.put:
                state.update([(key, value(event, state, request)) for key, value in rule.put])
            for emit in rule.emit:
                value = emit(event, state, request)
                if type(value) is dict:
                    out.append(value)
                elif value is not None:
                    out += [item for item in value if item is not None]
            if not rule.go_on:
                break
        return out

    def failure(self, event: dict[str, Any]) -> bytes:
        """The event that tells of a failure after the first byte. `event`: {type: error, error: {...}}."""
        body = self._bound.error(event, self._state, self._request)
        return b"" if body is None else self._encode(body)

    def end(self) -> bytes:
        """What ends the stream."""
        return self._bound.sentinel

    def _encode(self, body: dict[str, Any]) -> bytes:
        if self._bound.numbered is not None:
            body = {**body, self._bound.numbered: self._count}
            self._count += 1
        if self._bound.wrapped:
            ((name, inner),) = body.items()
            return self._bound.encode(orjson.dumps(inner), name)
        name = body.get("type", "") if self._bound.named else ""
        return self._bound.encode(orjson.dumps(body), name)
