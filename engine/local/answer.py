"""One open request on the parent's side: the worker's reports as canonical events, taken in batches."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, cast

from engine.local.protocol import WINDOW
from engine.policies.failures import FailureClass
from engine.wire.canonical import Error, Event, Usage

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


def error_event(failure: FailureClass, message: str, **more: Any) -> Event:
    """The event that ends a failed answer."""
    return Event(type="error", error=cast(Error, {"failure": failure, "message": message, **more}))


class CallReader:
    """Reads the JSON of a forced tool call as it is written; its arguments are passed on as they come."""

    def __init__(self, call_id: str) -> None:
        self._id, self._text, self._opened = call_id, "", False

    def feed(self, piece: str) -> list[Event]:
        """`tool_call` once the name is whole, then pieces of `tool_arguments`."""
        events: list[Event] = []
        self._text += piece
        if not self._opened:
            head = _HEAD.match(self._text)
            if head is None:
                return []
            self._opened, self._text = True, self._text[head.end() :]
            name = json.loads(head[1])
            events.append(Event(type="tool_call", index=0, id=self._id, name=name))
        # the last brace closes the call, not the arguments: it stays back until more follows, or for ever
        if sure := self._text.rstrip("} \t\r\n"):
            events.append(Event(type="tool_arguments", index=0, arguments=sure))
            self._text = self._text[len(sure) :]
        return events

    def finish(self, whole: bool) -> list[Event]:
        """What was held back: all but the call's own closing brace, if the model got so far (`whole`)."""
        rest = self._text.rstrip()[:-1].rstrip() if whole else self._text.rstrip()
        return [Event(type="tool_arguments", index=0, arguments=rest)] if self._opened and rest else []


class Answer:
    """The events of one request, between the worker and the reader."""

    def __init__(self, id: int, answer_id: str, model: str, created: int, *, forced_tool: bool) -> None:
        self.id = id
        self.over = False  # nothing more will come
        self._start = Event(type="start", id=answer_id, model=model, created=created)
        self._call = CallReader(f"call_{answer_id}") if forced_tool else None
        self._events: list[Event] = []
        self._pieces = 0  # of text, since the last credit
        self._content = False  # some was handed out or waits to be
        self._waiter: asyncio.Future[None] | None = None

    def hear(self, report: dict[str, Any]) -> None:
        """Takes one report of the worker."""
        match report["ev"]:
            case "begin":
                self._add(self._start)
            case "text":
                self._pieces += 1
                self._text(report["text"])
            case "end":
                self._end(report)
            case "fault":
                self.fail(report["failure"], report["message"])

    def lose(self, why: str) -> None:
        """The worker died: `cut` if content was sent, else `server`."""
        self.fail("cut" if self._content else "server", why)

    def fail(self, failure: FailureClass, message: str) -> None:
        if not self.over:
            self.over = True
            self._add(error_event(failure, message))

    @property
    def waiting(self) -> bool:
        """Whether events are there to be taken."""
        return bool(self._events)

    async def take(self) -> list[Event]:
        """The events since the last call, waited for; never empty."""
        if not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._events = self._events, []
        return events

    def earned(self) -> int:
        """Pieces read since the last credit, once there are enough to be worth a message; else 0."""
        if self.over or self._pieces < WINDOW // 2:
            return 0
        pieces, self._pieces = self._pieces, 0
        return pieces

    def _text(self, text: str) -> None:
        events = self._call.feed(text) if self._call else [Event(type="text", text=text)]
        self._content = self._content or bool(events)
        self._add(*events)

    def _end(self, report: dict[str, Any]) -> None:
        self.over = True
        reason = report["reason"]
        if self._call is not None:
            self._add(*self._call.finish(reason == "stop"))
            reason = "tool_calls" if reason == "stop" else reason
        usage = Usage(input_tokens=report["input_tokens"], output_tokens=report["output_tokens"])
        self._add(Event(type="finish", finish_reason=reason), Event(type="usage", usage=usage))

    def _add(self, *events: Event) -> None:
        self._events += events
        if events and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
