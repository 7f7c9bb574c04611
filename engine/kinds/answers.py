"""What kinds read of an answer that is there: as expressions see it, and as text to compare or to judge.

An answer is an `Outcome` whose reply is a whole one (`upstream.protocol.Whole`) or the text of a `respond`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from engine.kinds.effects import Outcome
from engine.wire.canonical import Choice, Part, Reply, Usage


class AnswerView:
    """`answer.*` of the language: one choice of a reply.

    text: its text parts, joined. length: their characters. finish: why it ended (`stop`, `length`,
    `tool_calls`, `content_filter`). refused: the vendor marked it as refused. tool_calls: how many tools it
    calls. output_tokens: of the whole reply.
    """

    __slots__ = ("finish", "length", "output_tokens", "refused", "text", "tool_calls")

    def __init__(self, choice: Choice, usage: Usage) -> None:
        parts = _parts(choice)
        self.text = "".join(part.get("text", "") for part in parts if part.get("type") == "text")
        self.length = len(self.text)
        self.finish: str = choice.get("finish_reason", "")
        self.refused = self.finish == "content_filter" or any(p.get("type") == "refusal" for p in parts)
        self.tool_calls = sum(part.get("type") == "tool_call" for part in parts)
        self.output_tokens = usage.get("output_tokens", 0)


def reply_of(outcome: Outcome) -> Reply:
    """The whole reply of a good outcome; of a fixed text, one that holds it."""
    if isinstance(outcome.reply, str):
        return {"choices": [{"finish_reason": "stop", "message": {"content": [_text(outcome.reply)]}}]}
    return cast(Reply, outcome.reply.reply)


def views(outcome: Outcome) -> list[AnswerView]:
    """One view for each choice; at least one."""
    reply = reply_of(outcome)
    return [AnswerView(c, reply.get("usage", {})) for c in reply.get("choices") or [Choice()]]


def text_of(outcome: Outcome) -> str:
    """The first choice as text: what it says, and which tools it calls with what."""
    choices = reply_of(outcome).get("choices") or [Choice()]
    return spoken(_parts(choices[0]))


def spoken(parts: Sequence[Part]) -> str:
    """Parts of a message as text for a model that reads them; media are named, not shown."""
    return "\n".join(piece for part in parts if (piece := _spoken(part)))


def _spoken(part: Part) -> str:
    kind = part.get("type", "text")
    if kind in ("text", "refusal"):
        return part.get("text", "")
    if kind == "tool_call":
        return f"[calls {part.get('name', 'a tool')} with {part.get('arguments', '')}]"
    if kind == "tool_result":
        return f"[result of a tool: {spoken(part.get('content', ()))}]"
    return "" if kind == "reasoning" else f"[{kind}]"


def essence(outcome: Outcome) -> str:
    """What makes two answers the same: all that the first choice says and calls, but for layout and case.

    JSON is compared as data: neither spaces nor the order of keys make a difference.
    """
    choices = reply_of(outcome).get("choices") or [Choice()]
    parts = _parts(choices[0])
    text = "".join(part.get("text", "") for part in parts if part.get("type") in ("text", "refusal"))
    calls = [
        f"{part.get('name')}({_same(part.get('arguments', ''))})"
        for part in parts
        if part.get("type") == "tool_call"
    ]
    return "\n".join([_same(text), *calls])


def _same(text: str) -> str:
    data = data_of(text)
    if isinstance(data, dict | list):
        return json.dumps(data, sort_keys=True, separators=(",", ":"))
    return " ".join(text.split()).casefold().rstrip(".!")


def data_of(text: str) -> Any:
    """The JSON that a text is, or that it holds as its one fenced block; None where it is none."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```"):
        bare = bare[3:-3].removeprefix("json")
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        return None


def _parts(choice: Choice) -> list[Part]:
    return choice.get("message", {}).get("content", [])


def _text(text: str) -> Part:
    return {"type": "text", "text": text}
