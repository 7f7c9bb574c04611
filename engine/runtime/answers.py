"""Answers that are kept for `cache` nodes: which requests may have one, under what key, which are worth it.

A request has none where something would happen in the world again (hosted tools), where it is counted only,
where it holds what only the client's own format carries, where it is larger than 4 MiB, and where the client
says `cache-control: no-store`. The temperature is no reason: who writes a cache wants the same answer again;
it is part of the key like all else that shapes an answer. An answer is kept if it is whole and ended by
itself (`stop`), without tool calls (who acts on one acts again) and without a refusal. Errors and cut streams
are never kept; a stream is kept once its end was handed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import orjson

from engine.kinds.effects import Outcome
from engine.runtime.clock import Clock
from engine.runtime.live import LiveFlow
from engine.runtime.run import Run
from engine.state.protocol import State
from engine.upstream.protocol import Whole
from engine.wire.canonical import Event, Reply
from engine.wire.operations import AnyReply
from engine.wire.whole import Collector

SPACE: Final = "answers"


class Answers:
    """Keeps and finds answers of an executor's requests."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def lookup(self, run: Run, key: str, young_ms: int) -> Outcome | None:
        """The answer under a key as this request's own; None where there is none that is young enough."""
        found = self._state.recall(SPACE, key, int(self._clock.now_ms()))
        data = found if found is None or isinstance(found, bytes) else await found
        kept = None if data is None else orjson.loads(data)
        # Another host's plan may have answered it from a deployment that this one does not know.
        if kept is not None and kept["deployment"] not in run.bound.places:
            kept = None
        if kept is None or self._clock.wall() * 1000 - kept["at"] >= young_ms:
            run.taped = True  # what comes instead is to be read whole
            return None
        reply: dict[str, Any] = kept["reply"]
        if "id" in reply:
            reply["id"] = run.inbound.request_id
        reply["model"] = run.told_model(run.bound.places[kept["deployment"]])
        return Outcome(
            ok=True, deployment=kept["deployment"], tried=False,
            reply=Whole(cast(AnyReply, reply), dropped=tuple(kept["dropped"])),
        )  # fmt: skip

    async def retain(self, run: Run, key: str, ttl_ms: int, outcome: Outcome) -> None:
        """Keep an outcome's answer: now, or of a stream at its good end."""
        if not outcome.ok or outcome.final or outcome.deployment is None:
            return
        answer = outcome.reply
        if isinstance(answer, LiveFlow):
            answer.tape = Tape(self, key, ttl_ms, outcome.deployment, answer.dropped, int(run.clock.now))
        elif isinstance(answer, Whole) and answer.reply is not None:
            await self.keep(key, ttl_ms, outcome.deployment, answer.reply, answer.dropped)

    async def keep(
        self, key: str, ttl_ms: int, deployment: str, reply: AnyReply, dropped: Iterable[str]
    ) -> None:
        """Keep a reply, if it is worth it."""
        if not _good(reply):
            return
        now = self._clock.now_ms()
        # The time of day, which other hosts have too.
        at = self._clock.wall() * 1000
        value = {"at": at, "deployment": deployment, "dropped": list(dropped), "reply": reply}
        waiting = self._state.keep(SPACE, key, orjson.dumps(value), ttl_ms, int(now))
        if waiting is not None:
            await waiting


class Tape:
    """Takes a stream's events while they are handed on, and keeps the answer that they were."""

    def __init__(
        self, answers: Answers, key: str, ttl_ms: int, deployment: str, dropped: tuple[str, ...], created: int
    ) -> None:
        self._answers = answers
        self._key = key
        self._ttl_ms = ttl_ms
        self._deployment = deployment
        self._dropped = dropped
        self._created = created
        self._collector = Collector()

    def take(self, events: Iterable[Event]) -> None:
        """These were handed on."""
        self._collector.add(events)

    async def ended(self, failure: str | None) -> None:
        """The stream is over; None: as it should be."""
        if failure is None and self._collector.error is None:
            reply = self._collector.reply(self._created)
            await self._answers.keep(self._key, self._ttl_ms, self._deployment, reply, self._dropped)


def _good(reply: AnyReply) -> bool:
    """Whether an answer may stand for another of the same request."""
    if "choices" not in reply:
        return "embeddings" in reply or "results" in reply
    choices = cast(Reply, reply).get("choices", ())
    return bool(choices) and all(
        choice.get("finish_reason") == "stop"
        and not any(part.get("type") in ("tool_call", "refusal") for part in _parts(choice))
        for choice in choices
    )


def _parts(choice: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    content: Iterable[Mapping[str, Any]] = choice.get("message", {}).get("content", ())
    return content


__all__ = ["SPACE", "Answers", "Tape"]
