"""A vendor's stream into canonical events, rule by rule, with the promises of `Event` kept whatever comes.

The rules of the dialect say what an event means. This driver adds what holds for every format: finish
reasons are mapped, exactly one `usage` is given and it is the last event, an end before the answer is whole
is an `error` of class `cut`, nothing follows an error. A stream that reported no usage ends with an empty
one: the executor estimates it.

`complete` is True once the answer is whole: from then on only usage or the sentinel can come, so whoever
feeds the reader should wait but a moment for them and then call `eof`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, cast

import orjson

from engine.plan.code import bind_expr, bind_template
from engine.plan.vendors import Rule, StreamRead
from engine.wire.canonical import CONTENT_EVENTS, Error, Event, FinishReason, Usage
from engine.wire.failures import Classifier
from engine.wire.framing import FRAMINGS
from engine.wire.mended import mended
from engine.wire.regex import compile_markers
from engine.wire.skim import Skimmed
from engine.wire.sse import Frame, StreamFormatError

Bound = Callable[..., Any]

_NO_HEADERS: Final[Mapping[str, str]] = {}


class BoundRule:
    """A `Rule` as functions."""

    __slots__ = ("emit", "end", "error", "go_on", "put", "when")

    def __init__(self, rule: Rule) -> None:
        self.when: Bound | None = bind_expr(rule.when) if rule.when is not None else None
        self.put = tuple((name, bind_template(value)) for name, value in rule.put.items())
        self.emit = tuple(bind_template(template) for template in rule.emit)
        self.error: Bound | None = bind_template(rule.error) if rule.error is not None else None
        self.end = rule.end
        self.go_on = rule.go_on


class BoundStreamRead:
    """What all streams of one operation share."""

    __slots__ = (
        "at_sentinel", "complete", "decoder", "finish", "look_for", "parse", "rules", "sentinel", "state",
        "usage",
    )  # fmt: skip

    def __init__(self, plan: StreamRead, finish: Mapping[str, str], usage: Callable[[Any], Usage]) -> None:
        self.decoder = partial(FRAMINGS[plan.decoder].decoder, plan.options)
        self.parse: Callable[[bytes], Any] = _text if plan.options.get("data") == "text" else orjson.loads
        self.sentinel = plan.sentinel.encode() if plan.sentinel is not None else None
        self.at_sentinel = bind_template(plan.at_sentinel) if plan.at_sentinel is not None else None
        self.state = dict(plan.state)
        self.rules = tuple(BoundRule(rule) for rule in plan.rules)
        self.complete: Bound | None = bind_expr(plan.complete) if plan.complete is not None else None
        self.look_for = compile_markers(plan.look_for)
        self.finish = finish
        self.usage = usage


class StreamReader:
    """Reads one stream. `raw` holds, after each `feed`, the bytes of its whole events as they came.

    hide_usage: leave events that carried only usage out of `raw`, for a client that did not ask for it.
    hold_usage: keep the event with the last usage, and what follows it, out of `raw` too: something will be
        added to it. It is in `usage_raw`, its datum in `usage_data`, the rest in `after`; no usage: no datum.
    skim: the bytes are what counts: after the first content, events without one of the dialect's markers are
        not parsed, and no canonical event tells of them.
    """

    __slots__ = (
        "_bound", "_calls", "_classifier", "_decoder", "_finished", "_hide", "_hold", "_keep", "_open",
        "_skim", "_skimmed", "_state", "_usage",
        "after", "counted", "done", "ended", "failed", "moved", "raw", "usage_data",
        "usage_raw",
    )  # fmt: skip

    def __init__(
        self,
        bound: BoundStreamRead,
        classifier: Classifier,
        *,
        keep_raw: bool = False,
        hide_usage: bool = False,
        hold_usage: bool = False,
        skim: bool = False,
    ) -> None:
        self._bound = bound
        self._classifier = classifier
        self._decoder = bound.decoder()
        self._state = dict(bound.state)
        self._keep = keep_raw
        self._hide = hide_usage
        self._hold = hold_usage
        self._skim = bound.look_for if skim and keep_raw else None
        self._skimmed: Skimmed | None = None
        self.usage_raw = b""
        self.usage_data: bytes | None = None
        self.after: list[bytes] = []
        self._usage: Usage | None = None
        self._finished: set[int] = set()
        self._open: set[int] = {0}
        self._calls: dict[tuple[int, int], Any] = {}
        self.raw = b""
        self.done = False  # the last event was given
        self.failed = False  # it was an error
        self.ended = False  # the upstream said so itself
        self.counted = False  # usage came behind a finish: nothing is missing but the sentinel
        self.moved = False  # the last bytes held an event; neither a part of one nor a comment is any

    @property
    def complete(self) -> bool:
        """The answer is whole, though usage may still come."""
        complete = self._bound.complete
        # Only a format that has an expression for it may do without finish events.
        if not self._open <= self._finished and (self._finished or complete is None):
            return False
        return complete is None or bool(complete({}, self._state, ""))

    def unread(self) -> int:
        """About how many characters of content passed without being parsed."""
        return 0 if self._skimmed is None else self._skimmed.size(self._count)

    def _count(self, data: Iterable[tuple[bytes, str]], state: dict[str, Any]) -> int:
        """The characters of content in these events, read apart from the stream."""
        reader = StreamReader(self._bound, self._classifier)
        reader._state = state
        events: list[Event] = []
        for datum, name in data:
            reader._event(datum, name, events)
        return sum(len(event.get("text", "")) + len(event.get("arguments", "")) for event in events)

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events that `data` completes."""
        if self.done:
            self.raw = b""
            return []
        try:
            frames = self._decoder.feed(data)
        except StreamFormatError as error:
            return self.fail({"failure": "server", "message": str(error)})
        self.moved = len(frames) > 1 or (len(frames) == 1 and bool(frames[0].data))
        return self._read(frames)

    def eof(self) -> list[Event]:
        """The bytes are over, or nobody waits for more: the last events."""
        self.raw = b""
        if self.done:
            return []
        return self._read(self._decoder.eof()) + self._last()

    def _read(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        raw: list[bytes] = []
        sentinel = self._bound.sentinel
        for frame in frames:
            data = frame.data
            if data is None or not data:
                (raw if self.usage_data is None else self.after).append(frame.raw)
                continue
            if data == sentinel:
                self.ended = True
                if self._bound.at_sentinel is not None:
                    self._emitted(self._bound.at_sentinel({}, self._state, ""), events)
                events += self._last()
                if not self.failed:
                    (self.after if self._hold else raw).append(frame.raw)
                break
            # After a finish comes little, and what comes counts.
            skimmed = None if self._finished else self._skimmed
            if skimmed is not None and skimmed.marked(frame.raw):
                skimmed = None
            if skimmed is not None and skimmed.alike(data):
                skimmed.take(data, frame.name)
                if self._hold:
                    self._held(frame, False, raw)
                else:
                    raw.append(frame.raw)
                continue
            before = len(events)
            usage = self._usage
            read = self._event(data, frame.name, events)
            if self._skimmed is not None and usage is not self._usage:
                self._skimmed.last = None  # these counts are later
            if self.failed or not read:
                break
            if skimmed is not None:
                skimmed.alike.learn(data)
            if self._hold:
                self._held(frame, usage is not self._usage, raw)
            elif not (self._hide and len(events) == before and self._usage is not usage):
                raw.append(frame.raw)
            if self.done:
                break
        self.raw = b"".join(raw) if self._keep else b""
        return events

    def _held(self, frame: Frame, usage: bool, raw: list[bytes]) -> None:
        """Hold an event that may be the last with usage, and what follows it; where another comes, what was
        held before goes on.
        """
        if self.usage_data is not None:
            if not usage:
                self.after.append(frame.raw)
                return
            raw += [self.usage_raw, *self.after]
            self.usage_data = None
            self.after.clear()
        if usage and self.complete:
            self.usage_data, self.usage_raw = frame.data, frame.raw
        else:
            raw.append(frame.raw)

    def _event(self, data: bytes, name: str, out: list[Event]) -> bool:
        """One datum through the rules. False for what cannot be read: behind a whole answer, it ends it."""
        try:
            event = self._bound.parse(data)
        except orjson.JSONDecodeError:
            try:
                event = mended(data)
            except ValueError:
                out += self.fail({"failure": "server", "message": "an event of the stream is not JSON"})
                return False
        state = self._state
        for rule in self._bound.rules:
            if rule.when is not None and not rule.when(event, state, name):
                continue
            if rule.error is not None:
                told = rule.error(event, state, name)
                own = isinstance(told, dict) and "error" in told
                error = self._classifier.parsed(None, _NO_HEADERS, told if own else event)
                if isinstance(told, dict) and isinstance(told.get("message"), str) and "code" not in error:
                    error["message"] = told["message"][:500]
                out.append(self._fail(error))
                return True
            if rule.put:
                # All values are made from the state before, and only then put into it.
                state.update([(key, value(event, state, name)) for key, value in rule.put])
            for emit in rule.emit:
                self._emitted(emit(event, state, name), out)
            if rule.end:
                self.ended = True
                out += self._last()
                break
            if not rule.go_on:
                break
        return True

    def _emitted(self, made: Any, out: list[Event]) -> None:
        """What a template made: an event, several, or none."""
        if type(made) is dict:
            self._emit(made, out)
        elif made is not None:
            for item in made:
                if item is not None:
                    self._emit(item, out)

    def _emit(self, event: dict[str, Any], out: list[Event]) -> None:
        kind = event["type"]
        choice = event.get("choice")
        if choice:
            self._open.add(choice)
        if self._skim is not None and self._skimmed is None and kind in CONTENT_EVENTS:
            self._skimmed = Skimmed(self._skim, self._state)
        if kind == "usage":
            self.counted = bool(self._finished)
            found = self._bound.usage(event.get("usage"))
            self._usage = found if self._usage is None else cast(Usage, {**self._usage, **found})
            return
        if kind == "finish":
            if (choice or 0) in self._finished:
                return
            self._finished.add(choice or 0)
            event["finish_reason"] = finish_reason(event.get("native_finish_reason"), self._bound.finish)
        elif kind == "start":
            if "usage" in event:
                event["usage"] = self._bound.usage(event["usage"])
        elif kind == "tool_call":
            # Some servers repeat id and name with every piece of the arguments.
            call = (choice or 0, event.get("index") or 0)
            if call in self._calls and event.get("id") in (None, "", self._calls[call]):
                return
            self._calls[call] = event.get("id")
        out.append(cast(Event, event))

    def _last(self) -> list[Event]:
        """What ends the stream: usage, or the error that it was cut."""
        if self.done:
            return []
        if not self.complete:
            return [self._fail({"failure": "cut", "message": "the stream ended before the answer was whole"})]
        self.done = True
        return [{"type": "usage", "usage": self._usage if self._usage is not None else {}}]

    def fail(self, error: Error) -> list[Event]:
        """The stream broke below the format: the event that says so, or the normal end of a whole answer."""
        self.raw = b""
        if self.done:
            return []
        return self._last() if self.complete else [self._fail(error)]

    def _count_last(self) -> None:
        """Take the counts of the last event that passed unread: a broken stream is billed by them."""
        last = None if self._skimmed is None else self._skimmed.last
        if last is None:
            return
        reader = StreamReader(self._bound, self._classifier)
        reader._state = dict(self._state)
        reader._event(*last, [])
        if reader._usage is not None:
            self._usage = cast(Usage, {**(self._usage or {}), **reader._usage})

    def _fail(self, error: Error) -> Event:
        self._count_last()
        self.done = self.failed = True
        event: Event = {"type": "error", "error": error}
        if self._usage is not None:
            event["usage"] = self._usage  # what was counted until then: it is billed
        return event


def _text(data: bytes) -> dict[str, str]:
    """The event of a stream whose data is no JSON."""
    return {"data": data.decode("utf-8", "replace")}


def finish_reason(native: Any, table: Mapping[str, str]) -> FinishReason:
    """A native finish reason as ours; one that the dialect does not list is a `stop`."""
    return cast(FinishReason, table.get(native, "stop") if isinstance(native, str) else "stop")
