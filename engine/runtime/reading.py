"""A chat that comes without an HTTP path: in OpenAI's form or the canonical one, told by its messages."""

from __future__ import annotations

from typing import Any, Final, cast

from engine.errors import RequestError
from engine.runtime.snapshot import Snapshot
from engine.wire.canonical import Request

#: Messages and fields as OpenAI writes them are read by this dialect of the plan.
OPENAI: Final = "openai_chat"

#: What a message in canonical form may hold; anything else is read as OpenAI's.
_MESSAGE = frozenset({"role", "content", "name", "provider_data"})
_PARTS = frozenset({"text", "image", "audio", "file", "reasoning", "refusal", "tool_call", "tool_result"})


def read_chat(snapshot: Snapshot, body: dict[str, Any]) -> Request:
    """The canonical request of a chat body.

    Canonical is a body whose every message has its content in parts of canonical types and nothing of
    OpenAI's beside it; the rest is read through the plan's own dialect, with all its checks.

    Raises:
        RequestError: a field is missing or wrong; `param` names it.
    """
    if spoken(body) is None:
        return cast(Request, {"operation": "chat", **body})
    if OPENAI not in snapshot.plan.manifest.dialects:
        raise RequestError(
            f"this plan has no dialect {OPENAI}: write messages in canonical form", param="messages"
        )
    return cast(Request, snapshot.dialect(OPENAI).read_request("chat", body, {}))


def spoken(body: dict[str, Any]) -> str | None:
    """The dialect that a chat body is in; None: it is canonical."""
    messages = body.get("messages")
    canonical = isinstance(messages, list) and messages and all(_is_canonical(each) for each in messages)
    return None if canonical else OPENAI


def _is_canonical(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content = message.get("content")
    return (
        isinstance(content, list)
        and message.keys() <= _MESSAGE
        and all(isinstance(part, dict) and part.get("type") in _PARTS for part in content)
    )
