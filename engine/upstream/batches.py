"""One request for more inputs than a call takes: cut into several calls, put together as if it were one.

Only operations whose inputs are answered one by one are cut (`Form.batched`: embeddings). The pieces go to
the same deployment, a few at a time; the answer holds their vectors in the order of the inputs and the sum
of their usage. The first piece that fails ends the others, and its error is the answer's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from engine.upstream.protocol import Ask, Whole
from engine.wire.canonical import Request, Usage
from engine.wire.operations import Embedding, EmbeddingReply, EmbeddingRequest, form

#: Calls of one request that are open at a time.
AT_ONCE: Final = 4


def cut(ask: Ask, most: int | None) -> list[Ask]:
    """The calls that an attempt needs; itself alone where it fits.

    most: inputs that one call takes; None = any number. Pieces are written from the canonical request: the
    client's own body holds all inputs.
    """
    if most is None or not form(ask.operation).batched:
        return [ask]
    request = cast(EmbeddingRequest, ask.request)
    inputs = request.get("input", [])
    if len(inputs) <= most:
        return [ask]
    return [
        replace(ask, request=cast(Request, {**request, "input": inputs[start : start + most]}), body=None)
        for start in range(0, len(inputs), most)
    ]


async def together(pieces: Sequence[Ask], send: Callable[[Ask], Awaitable[Whole]]) -> Whole:
    """Send all pieces, and make one answer of theirs."""
    slots = asyncio.Semaphore(AT_ONCE)
    answers: list[Whole | None] = [None] * len(pieces)

    async def one(place: int) -> None:
        async with slots:
            answer = await send(pieces[place])
        answers[place] = answer
        if answer.reply is None:
            raise _Failed

    try:
        async with asyncio.TaskGroup() as group:
            for place in range(len(pieces)):
                group.create_task(one(place))
    except* _Failed:
        pass  # told by its answer, below
    came = [answer for answer in answers if answer is not None]
    return next((answer for answer in came if answer.reply is None), None) or _joined(came)


class _Failed(Exception):
    """A piece failed: ends the others."""


def _joined(answers: Sequence[Whole]) -> Whole:
    replies = [cast(EmbeddingReply, answer.reply) for answer in answers]
    embeddings: list[Embedding] = []
    for reply in replies:
        start = len(embeddings)
        embeddings += [{**each, "index": start + each["index"]} for each in reply["embeddings"]]
    whole: EmbeddingReply = {**replies[0], "embeddings": embeddings, "usage": _sum(replies)}
    return Whole(whole, dropped=tuple(dict.fromkeys(name for answer in answers for name in answer.dropped)))


def _sum(replies: Sequence[EmbeddingReply]) -> Usage:
    """The usage of all. A count that a piece does not have is nobody's: half a sum would be a wrong one."""
    told: list[dict[str, Any]] = [dict(reply.get("usage", {})) for reply in replies]
    shared = set.intersection(*(set(usage) for usage in told))
    return cast(Usage, {name: sum(usage[name] for usage in told) for name in sorted(shared)})
