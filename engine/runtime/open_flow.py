"""An attempt's stream, from the call on: reads it under its limits, and keeps what has come.

`attempt.py` reads it up to the commit point, `live.py` from there. A stream that is gone on with (`on_cut:
continue`) is one of these after another below one `LiveFlow`.
"""

from __future__ import annotations

from collections import deque

from engine.kinds.effects import Attempt
from engine.runtime.clock import Clock
from engine.runtime.guard import Guard
from engine.runtime.place import Place
from engine.runtime.record import AttemptRecord
from engine.runtime.tally import Tally
from engine.runtime.tokenizers import tokenizer
from engine.upstream.protocol import Chunk, Flow


class OpenFlow:
    """An upstream's stream with what belongs to it, from the call on.

    Limits are moments on the clock. `ready` holds the chunks that came before the commit point.
    """

    __slots__ = (
        "_clock",
        "_idle_ms",
        "effect",
        "entry",
        "flow",
        "guard",
        "left",
        "moved",
        "over",
        "place",
        "ready",
        "source",
        "tally",
        "whole_at",
        "whole_why",
    )

    def __init__(
        self,
        flow: Flow,
        effect: Attempt,
        entry: AttemptRecord,
        place: Place,
        clock: Clock,
        guard: Guard,
        answers: int,
    ) -> None:
        self.flow = flow
        self.source = aiter(flow)
        self.effect = effect
        self.entry = entry
        self.place = place
        self.guard = guard
        self.tally = Tally(answers, keep=tokenizer(place.deployment.facts.tokenizer) is not None)
        self.over = False  # its end was seen
        self.left = False  # it was closed, and its end told
        self.moved = True  # the last that came held an event
        self.ready: deque[Chunk] = deque()
        self._clock = clock
        self._idle_ms = effect.target.call.idle_ms
        self.whole_at: float | None = None
        self.whole_why = ""

    async def receive(self) -> Chunk | None:
        """The next chunk; None at the end. Raises LimitReached."""
        if self.over:
            return None
        try:
            with self.guard:
                chunk: Chunk = await anext(self.source)
        except StopAsyncIteration:
            self.over = True
            return None
        self.tally.take(chunk)
        self.moved = chunk.moved
        return chunk

    def idle_limit(self) -> None:
        """From now on the pause between two events is limited, instead of the time to the first.

        Not once the answer is whole: whoever reads it gives what may still follow a moment of its own, and
        an answer that came in time does not become an error by what came late, or not at all.
        """
        if self.tally.whole:
            self.guard.limit(None, "")
            return
        if not self.moved:  # a byte now and then is no event
            return
        at = None if self._idle_ms is None else self._clock.now_ms() + self._idle_ms
        if at is None or (self.whole_at is not None and self.whole_at < at):
            self.guard.limit(self.whole_at, self.whole_why)
        else:
            self.guard.limit(at, "idle")

    def now(self) -> float:
        """Milliseconds on the executor's clock."""
        return self._clock.now_ms()

    async def close(self) -> None:
        self.guard.close()
        await self.flow.close()
