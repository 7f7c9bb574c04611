"""`on_cut: continue`, the executor's side: what was said, who may go on with it, and what it cost in all.

One for each stream of such a route. While the stream flows it keeps what the client was given (`Said`); where
it breaks it asks `kinds/resume.py` who goes on, with the request extended by that, and fits what comes to it
(`Seam`). Only an answer that is one plain text is ever gone on with: calls of tools, thoughts, several
choices and texts that must have a form cannot be begun by one model and ended by another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from engine.kinds import resume
from engine.kinds.effects import Outcome, Steps
from engine.kinds.resume import BREAKS, Broken
from engine.runtime.open_flow import OpenFlow
from engine.runtime.run import Run
from engine.runtime.seam import Said, Seam, prefill
from engine.upstream.protocol import Chunk, Whole
from engine.wire.canonical import Event, Usage

#: Drives a walk of this run; an answer's `reply` is then the `OpenFlow` of the continuation.
Drive = Callable[[Run, Steps], Awaitable[Outcome]]

#: An answer that has to have a form is made from its first letter on.
_FREE_FORMS: Final = frozenset({None, "text"})


class Continuing:
    """What one stream needs to be gone on with. `run`: the request as it was asked last."""

    __slots__ = ("_drive", "_passed", "_said", "_seam", "_spent", "_start", "joins", "run")

    def __init__(self, run: Run, drive: Drive) -> None:
        self.run = self._start = run
        self._drive = drive
        self._said = Said()
        self._seam: Seam | None = None
        self._spent: list[Usage] = []
        self._passed = False  # the client got the vendor's own bytes
        #: Whether events of ours may follow the vendor's own bytes in the client's format.
        self.joins = run.joins()

    def starts(self, event: Event) -> None:
        """The stream's `start`, as the vendor's own bytes have it."""
        self._said.start.append({**event})

    def given(self, chunk: Chunk) -> None:
        """This is handed on to the client."""
        if chunk.raw is not None:
            self._passed = True
        elif self._passed:
            self._passed = False
            chunk.told = self._said.events()
        self._said.take(chunk.events)

    def fits(self, chunk: Chunk) -> bool:
        """Fit what came to what was said; False: nothing of it is left to give."""
        if self._seam is None:
            return True
        chunk.events = self._seam.take(chunk.events)
        chunk.raw = chunk.closing = None
        return bool(chunk.events)

    def may(self, broken: Broken) -> bool:
        """Whether anybody could go on."""
        request = self._start.request
        form = request.get("response_format", {}).get("type")
        return (
            broken.failure in BREAKS
            and not broken.for_good
            and self._said.plain
            and bool(prefill(self._said.text))
            and request.get("n", 1) == 1
            and form in _FREE_FORMS
        )

    async def go_on(self, broken: Broken, used: Usage) -> OpenFlow | None:
        """The stream of whoever goes on; None where nobody does. `used`: by the one that broke."""
        text = self._said.text
        broken.said = len(text)
        self._spent.append(used)
        run = self._start.continuing(prefill(text))
        outcome = await self._drive(run, resume.steps(broken, run))
        if not outcome.ok or isinstance(outcome.reply, Whole):  # whoever cannot stream after all is no help
            return None
        opened = cast(OpenFlow, outcome.reply)
        self.run = run
        self._seam = Seam(text, echoes=run.face(opened.place).echoes)
        return opened

    def all_used(self, usage: Usage) -> Usage:
        """The usage of the whole answer: of all who gave a part of it."""
        if not self._spent:
            return usage
        total: dict[str, Any] = {}
        for each in (*self._spent, usage):
            for name, value in cast("dict[str, Any]", each).items():
                # One that was estimated makes the whole an estimate.
                total[name] = True if value is True else total.get(name, 0) + value
        return cast(Usage, total)
