"""When two requests are the same for a cache: a digest of all that shapes the answer, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from engine.policies.digest import digest_of
from engine.wire.canonical import Message, Request

if TYPE_CHECKING:
    from engine.runtime.run import Run

#: A canonical request beyond this is not worth its digest.
LARGEST: Final = 4 * 2**20
#: Fields that say who asks, how the answer is handed over, or what the vendor keeps: they shape no answer.
_BESIDE: Final = frozenset(
    {
        "cache", "cache_key", "conversation", "include_usage", "metadata", "operation", "service_tier",
        "store", "stream", "user",
    }
)  # fmt: skip
_KEPT: Final = frozenset({"chat", "embeddings", "rerank"})


def uncacheable(run: Run) -> str | None:
    """Why a request may have no kept answer; None where it may."""
    if run.operation not in _KEPT:
        return f"{run.operation} is not kept"
    if run.native is not None:
        return f"`{run.native}` means something in {run.inbound.dialect} only"
    if "no-store" in run.view.header("cache-control"):
        return "the client says no-store"
    if any("hosted" in tool for tool in run.request.get("tools", ())):
        return "hosted tools act again each time"
    if len(_told(run.request)) > LARGEST:
        return "the request is too large"
    return None


def fingerprint(run: Run, place: Sequence[str], scope: Sequence[str], *, but_question: bool) -> str:
    """The key of a request's answer.

    Args:
        run: the request.
        place: the route and its cache, and what they mean.
        scope: among whom the answer is shared, and what else sets requests apart.
        but_question: leave out the text of the user's last message.
    """
    request = _without_question(run.request) if but_question else run.request
    # What the ingress does not name is passed on in the client's own format only.
    form = run.inbound.dialect or "" if "extra" in request else ""
    limit = "" if run.max_tokens is None else str(run.max_tokens)
    return digest_of(run.operation, *place, form, limit, *scope, _told(request).decode())


def question(request: Request) -> str:
    """The text of the user's last message; "" where that is not all there is to it."""
    last = _last(request)
    parts = [] if last is None else last.get("content", [])
    if any(part.get("type", "text") != "text" for part in parts):
        return ""
    return "\n".join(part.get("text", "") for part in parts)


def _told(request: Mapping[str, Any]) -> bytes:
    told = {name: value for name, value in request.items() if name not in _BESIDE}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS, default=str)


def _last(request: Request) -> Message | None:
    messages = request.get("messages", [])
    return messages[-1] if messages and messages[-1].get("role") == "user" else None


def _without_question(request: Request) -> Request:
    last = _last(request)
    if last is None:
        return request
    bare = cast(Message, {**last, "content": []})
    return cast(Request, {**request, "messages": [*request.get("messages", [])[:-1], bare]})
