"""A whole answer and a stream are one thing in two forms: events into a reply, a reply into events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from engine.wire.canonical import Choice, Error, Event, Message, Part, Reply, Usage

#: Content events whose texts run on in one part, and that part's type.
_RUNNING = frozenset({"text", "reasoning", "refusal"})
#: What a vendor wants back unchanged, and whose it is.
_OPAQUE: Final = ("signature", "redacted", "origin")
#: Of these, those that end a running part.
_ENDS: Final = frozenset({"signature", "redacted"})


class Collector:
    """Takes the events of a stream and gives the reply that they are. `error` is set once one failed it."""

    def __init__(self) -> None:
        self.error: Error | None = None
        self._head = Reply()
        self._choices: dict[int, Choice] = {}
        self._calls: dict[tuple[int, int], Part] = {}
        self._usage = Usage()

    def add(self, events: Iterable[Event]) -> None:
        """Take what came, in order."""
        for event in events:
            kind = event["type"]
            if kind in _RUNNING:
                self._text(event)
            elif kind in {"tool_call", "tool_arguments"}:
                self._call(event)
            elif kind == "usage":
                self._usage = event["usage"]
            elif kind == "error":
                self.error = event["error"]
            else:
                self._other(event)

    def reply(self, created: int) -> Reply:
        """The whole answer; `created` (Unix seconds) stands where the stream did not say when."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        return cast(Reply, {"created": created, **self._head, "choices": choices, "usage": self._usage})

    def _other(self, event: Event) -> None:
        kind = event["type"]
        if kind == "start":
            for name in ("id", "model", "created", "service_tier"):
                if name in event:
                    self._head[name] = event[name]
        elif kind == "finish":
            choice = self._choice(event)
            if "finish_reason" in event:
                choice["finish_reason"] = event["finish_reason"]
            if "native_finish_reason" in event:
                choice["native_finish_reason"] = event["native_finish_reason"]
        elif kind == "logprobs":
            self._choice(event)["logprobs"] = _joined(self._choice(event).get("logprobs"), event["logprobs"])
        elif kind == "citation":
            part = self._last(event, "text")
            part.setdefault("citations", []).append(event["citation"])
        elif kind == "audio":
            self._content(event).append(cast(Part, {"type": "audio", **event["audio"]}))
        elif kind == "native":
            part = Part(type="native", provider_data=event["provider_data"])
            if "origin" in event:
                part["origin"] = event["origin"]
            self._content(event).append(part)

    def _choice(self, event: Event) -> Choice:
        index = event.get("choice", 0)
        found = self._choices.get(index)
        if found is None:
            message = Message(role="assistant", content=[])
            found = self._choices[index] = Choice(index=index, message=message)
        return found

    def _content(self, event: Event) -> list[Part]:
        return self._choice(event)["message"]["content"]

    def _last(self, event: Event, kind: Any) -> Part:
        """The part that a piece of this kind goes on with: the last one, or a new one. A signature or an
        encrypted block is the end of its part.
        """
        content = self._content(event)
        if not content or content[-1].get("type") != kind or content[-1].keys() & _ENDS:
            content.append(Part(type=kind, text=""))
        return content[-1]

    def _text(self, event: Event) -> None:
        part = self._last(event, event["type"])
        if "redacted" in event:
            if part.get("text"):
                part = Part(type="reasoning")
                self._content(event).append(part)
            part.pop("text", None)
        else:
            part["text"] += event.get("text", "")
        _take(part, event, _OPAQUE)

    def _call(self, event: Event) -> None:
        key = event.get("choice", 0), event.get("index", 0)
        part = self._calls.get(key)
        if part is None:
            part = self._calls[key] = Part(type="tool_call", id="", name="", arguments="")
            self._content(event).append(part)
        _take(part, event, ("id", "name", "provider_data", *_OPAQUE))
        part["arguments"] += event.get("arguments", "")


def _take(to: Any, source: Any, names: Iterable[str]) -> None:
    """Those of the fields that are there."""
    for name in names:
        if name in source:
            to[name] = source[name]


def _joined(before: Any, more: Any) -> Any:
    """Log probabilities come token by token: lists of the same name grow."""
    if not isinstance(before, dict) or not isinstance(more, dict):
        return more
    return {
        name: before[name] + more[name]
        if isinstance(before.get(name), list) and isinstance(more.get(name), list)
        else more.get(name, before.get(name))
        for name in {**before, **more}
    }


def events_of(reply: Reply) -> list[Event]:
    """The events that a whole reply would have been as a stream."""
    start = Event(type="start")
    for name in ("id", "model", "created", "service_tier"):
        if name in reply:
            start[name] = reply[name]
    events = [start]
    for choice in reply.get("choices", ()):
        index = choice.get("index", 0)
        calls = 0
        probable = choice.get("logprobs")
        for part in choice.get("message", {}).get("content", ()):
            if part.get("type") == "tool_call":
                events += _call_events(part, index, calls)
                calls += 1
            else:
                events += _part_events(part, index)
            if probable and part.get("type") == "text":  # they are of the text, so they come with it
                events.append(Event(type="logprobs", choice=index, logprobs=probable))
                probable = None
        finish = Event(type="finish", choice=index, finish_reason=choice.get("finish_reason", "stop"))
        if "native_finish_reason" in choice:
            finish["native_finish_reason"] = choice["native_finish_reason"]
        events.append(finish)
    events.append(Event(type="usage", usage=reply.get("usage", Usage())))
    return events


def _call_events(part: Part, choice: int, index: int) -> list[Event]:
    call = Event(
        type="tool_call", choice=choice, index=index, id=part.get("id", ""), name=part.get("name", "")
    )
    _take(call, part, ("provider_data", "signature", "origin"))
    text = part.get("arguments", "")
    return [call, Event(type="tool_arguments", choice=choice, index=index, arguments=text)]


def _part_events(part: Part, choice: int) -> list[Event]:
    kind = part.get("type", "text")
    if kind == "native":
        native = Event(type="native", choice=choice)
        _take(native, part, ("provider_data", "origin"))
        return [native]
    if kind not in _RUNNING:
        return []
    event = Event(type=cast(Any, kind), choice=choice)
    cited = [Event(type="citation", choice=choice, citation=c) for c in part.get("citations", ())]
    if not cited or "signature" not in part:
        _take(event, part, ("text", *_OPAQUE))
        return [event, *cited]
    # The signature ends its part, so it comes after what is cited in it.
    event["text"] = part.get("text", "")
    last = Event(type=cast(Any, kind), choice=choice, text="")
    _take(last, part, _OPAQUE)
    return [event, *cited, last]
