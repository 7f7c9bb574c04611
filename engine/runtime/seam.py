"""The seam between the beginning of an answer and its continuation: nothing twice, nothing lost.

`Said` knows what the client has; `Seam` fits to it what somebody else goes on with. Three things differ
between vendors, and each has its rule here:

- A prefill must not end in white space, so it is sent without; of the white space that the client has
  already, what the continuation begins with is left out.
- Some repeat the whole beginning before they go on: Mistral always does (`takes: [prefix_echo]`), and so does
  a model that starts over. A continuation that begins with all of it, `ECHO` characters or more where that is
  not known, is taken from behind it.
- The continuation is a stream of its own: its `start` is nobody's, and what it thinks before it goes on is
  no part of an answer that is being given already.
"""

from __future__ import annotations

from typing import Final

from engine.wire.canonical import Event, Message, Part, Request

#: A beginning of fewer characters may well come twice ("no, no"): only from here on it is an echo.
ECHO: Final = 16


class Said:
    """What a client has been given of a stream.

    text: of its only answer. plain: it is that text and nothing else, so that somebody can go on with it.
    start: how it began.
    """

    __slots__ = ("_texts", "plain", "start")

    def __init__(self) -> None:
        self.start: list[Event] = []
        self._texts: list[str] = []
        self.plain = True

    @property
    def text(self) -> str:
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    def take(self, events: list[Event]) -> None:
        """These were handed on."""
        for event in events:
            kind = event["type"]
            if kind == "text" and not event.get("choice") and "signature" not in event:
                self._texts.append(event.get("text", ""))
            elif kind != "start":
                self.plain = False

    def events(self) -> list[Event]:
        """The same in few events: for a writer that must go on from where the vendor's own bytes ended."""
        return [*self.start, Event(type="text", text=self.text)]


class Seam:
    """Fits a continuation to what was said.

    said: the text that the client has. echoes: whoever goes on begins with it.
    """

    __slots__ = ("_echo", "_prefill", "_space", "_text")

    def __init__(self, said: str, *, echoes: bool = False) -> None:
        self._prefill = prefill(said)
        self._echo = echoes or len(self._prefill) >= ECHO
        self._space = said[len(self._prefill) :]
        # Of the continuation, while it may be an echo or white space; None: it is clear how it fits.
        self._text: str | None = ""

    def take(self, events: list[Event]) -> list[Event]:
        """What of these events the client gets."""
        given: list[Event] = []
        for event in events:
            kind = event["type"]
            if kind == "start" or kind == "reasoning":
                continue
            if self._text is None:
                given.append(event)
            elif kind == "text" and "signature" not in event:
                self._text += event.get("text", "")
                if self._clear():
                    given += self._released(self._text)
            else:
                given += [*self._released(self._text), event]
        return given

    def _clear(self) -> bool:
        """Whether what came shows how it fits."""
        assert self._text is not None
        if self._may_echo and len(self._text) < len(self._prefill):
            return False
        rest = self._behind(self._text)
        return len(rest) > len(self._space) or not self._space.startswith(rest)

    @property
    def _may_echo(self) -> bool:
        assert self._text is not None
        return self._echo and self._prefill.startswith(self._text[: len(self._prefill)])

    def _behind(self, text: str) -> str:
        """The text without the beginning that it repeats."""
        if self._echo and text.startswith(self._prefill):
            return text[len(self._prefill) :]
        return text

    def _released(self, text: str) -> list[Event]:
        """The text that fits, as an event."""
        self._text = None
        text = self._behind(text)
        same = 0
        while same < min(len(text), len(self._space)) and text[same] == self._space[same]:
            same += 1
        return [Event(type="text", text=text[same:])] if text[same:] else []


def prefill(said: str) -> str:
    """What a vendor is given to go on from: no vendor takes white space at its end."""
    return said.rstrip()


def begun(request: Request, said: str) -> Request:
    """The request with the beginning of its answer: a turn of the assistant's that is still open."""
    messages = list(request.get("messages", ()))
    part = Part(type="text", text=said)
    if messages and messages[-1].get("role") == "assistant":  # the client had begun it
        last = messages.pop()
        messages.append({**last, "content": [*last.get("content", ()), part]})
    else:
        messages.append(Message(role="assistant", content=[part]))
    return {**request, "messages": messages}
