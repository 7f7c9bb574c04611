"""A chat template learnt from its own output, where it is mere text between messages.

Most templates print fixed text before, between and after the messages, by role. The worker, which has the
template, renders a few conversations of marked contents (`learn`), keeps the texts between the marks, and
checks on other conversations that putting messages between them gives the template's exact output. The parent
can then count a prompt's tokens without asking the worker. A template that does more has no shape (None).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypedDict

Render = Callable[[Sequence[dict[str, Any]]], str]


class ChatShape(TypedDict):
    """The fixed texts: before a first message of a role, between two ("user>assistant"), after the last."""

    opening: dict[str, str]
    joint: dict[str, str]
    closing: dict[str, str]


#: From these the texts are read; together they hold every pair of roles that an ordinary chat has.
_LESSONS = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user"),
)

#: On these the texts are checked: blanks that a template may strip, words that some templates act on.
_CHECKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "  a b \n"), ("assistant", "\n c\t"), ("user", ""), ("assistant", "d"), ("user", "e")),
    (
        ("system", " s\n"),
        ("user", "u"),
        ("assistant", "<think>x</think> y"),
        ("user", "v"),
        ("assistant", "w"),
        ("user", "z"),
    ),
    (
        ("system", ""),
        ("user", "None"),
        ("assistant", "<tool_call>{}</tool_call>"),
        ("user", "<tool_response>1</tool_response>"),
    ),
)


def learn(render: Render) -> ChatShape | None:
    """The shape of a template given as a function from messages to text; None if it has none or raises."""
    shape = ChatShape(opening={}, joint={}, closing={})
    try:
        if not all(_learn(shape, roles, render) for roles in _LESSONS):
            return None
        for check in _CHECKS:
            messages = [{"role": role, "content": content} for role, content in check]
            if apply(shape, messages) != render(messages):
                return None
    except Exception:  # noqa: BLE001 - a template may raise anything on a conversation it does not like
        return None
    return shape


def apply(shape: ChatShape, messages: Sequence[dict[str, Any]]) -> str | None:
    """The prompt for `messages`; None if they hold a role, an order or a tool call that was not learnt."""
    if not messages or any(message.keys() != {"role", "content"} for message in messages):
        return None
    roles = [message["role"] for message in messages]
    opening, closing = shape["opening"].get(roles[0]), shape["closing"].get(roles[-1])
    if opening is None or closing is None:
        return None
    text = [opening, messages[0]["content"]]
    for before, message in zip(roles, messages[1:], strict=False):
        joint = shape["joint"].get(f"{before}>{message['role']}")
        if joint is None:
            return None
        text += (joint, message["content"])
    return "".join((*text, closing))


def _learn(shape: ChatShape, roles: tuple[str, ...], render: Render) -> bool:
    """Adds the texts of one conversation; False if a mark is lost or a text differs from before."""
    marks = [f"@@{index}@@" for index in range(len(roles))]
    rest = render([{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)])
    texts = []
    for mark in marks:
        text, found, rest = rest.partition(mark)
        if not found:
            return False
        texts.append(text)
    pairs = [f"{a}>{b}" for a, b in pairwise(roles)]
    learnt = [(shape["opening"], roles[0], texts[0]), (shape["closing"], roles[-1], rest)]
    learnt += [(shape["joint"], pair, text) for pair, text in zip(pairs, texts[1:], strict=True)]
    return all(table.setdefault(key, text) == text for table, key, text in learnt)
