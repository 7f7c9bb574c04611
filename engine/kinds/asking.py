"""Questions of the engine's own to a judge: how they are put, and how strictly the answer is read.

The conversation and the answers in question go as one JSON document, so that nothing in them can pass for the
question; the judge answers with one JSON object and nothing else. Of the client's request the judge gets the
words alone: none of its tools, formats, stops or sampling.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from engine.kinds.answers import data_of, spoken, text_of
from engine.kinds.effects import Context, Outcome
from engine.wire.canonical import Message, Part, Request

#: Output of a chat of the engine's own, where it says nothing: a verdict is short, thinking is output too.
CONSULT_TOKENS: Final = 4_096
#: What such a chat reads at most, in tokens: what it is about, told again as JSON and in another model's
#: tokens, this many times over; and the question itself.
RETOLD: Final = 2
QUESTION_TOKENS: Final = 1_000


def question(ctx: Context, instruction: str, **matter: Any) -> Request:
    """A chat that asks `instruction` of the conversation so far and of `matter`."""
    document = {"conversation": conversation(cast(Request, ctx.request)), **matter}
    return Request(
        operation="chat",
        model=ctx.request.get("model", ""),
        messages=[
            Message(role="system", content=[Part(type="text", text=instruction)]),
            Message(role="user", content=[Part(type="text", text=json.dumps(document, ensure_ascii=False))]),
        ],
    )


def conversation(request: Request) -> list[dict[str, str]]:
    """The turns of a chat as texts."""
    return [
        {"role": message.get("role", "user"), "text": spoken(message.get("content", ()))}
        for message in request.get("messages", ())
    ]


def told(outcome: Outcome) -> dict[str, Any]:
    """The JSON object that a judge answered; empty where it failed, or said anything else."""
    found = data_of(text_of(outcome)) if outcome.ok else None
    return found if isinstance(found, dict) else {}


def score(outcome: Outcome) -> float | None:
    """A score from 0 to 1; None where the judge gave none."""
    found = told(outcome).get("score")
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        return None
    return float(found)


def choice(outcome: Outcome, count: int) -> int | None:
    """The index of the answer that the judge named by its number, from 1; None where it named none."""
    found = told(outcome).get("best")
    return found - 1 if type(found) is int and 1 <= found <= count else None
