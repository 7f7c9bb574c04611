"""Requests that come without an HTTP path.

A chat is in OpenAI's form or the canonical one, told by its messages; what is embedded or ranked is
canonical, or as short as people write it: texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from engine.errors import RequestError
from engine.runtime.snapshot import Snapshot
from engine.wire.canonical import Request
from engine.wire.operations import (
    AnyRequest,
    EmbeddingInput,
    EmbeddingRequest,
    RerankDocument,
    RerankRequest,
    form,
)

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


def asked(body: Mapping[str, Any]) -> str:
    """The operation that a body is of, by the fields that only one of them has."""
    if "messages" in body:
        return "chat"
    return "embeddings" if "input" in body else "rerank" if "documents" in body else "chat"


def read_body(snapshot: Snapshot, operation: str, body: dict[str, Any]) -> AnyRequest:
    """The canonical request of a body of any operation, beside chats in OpenAI's form and those of its kin.

    Raises:
        RequestError: a field is missing or wrong; `param` names it.
    """
    if operation in ("chat", "count_tokens"):
        return read_chat(snapshot, body)
    if OPENAI not in snapshot.plan.manifest.dialects:
        raise RequestError(f"this plan has no dialect {OPENAI}, which reads {operation}")
    return snapshot.dialect(OPENAI).read_request(operation, body, {})


def spoken(body: dict[str, Any], operation: str = "chat") -> str | None:
    """The dialect that a body is in; None: it is canonical."""
    if operation not in ("chat", "count_tokens"):
        return OPENAI
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


def read_embedding(model: str, given: Any, fields: Mapping[str, Any]) -> EmbeddingRequest:
    """The canonical request of what is to be embedded: a text, several, tokens, or canonical inputs.

    Raises:
        RequestError: an input is none of these, or a field is none of the request's.
    """
    items = [given] if isinstance(given, str | Mapping) else list(given)
    if items and all(_is_token(item) for item in items):
        items = [items]
    if not items:
        raise RequestError("`input` is empty: there is nothing to embed", param="input")
    made = [_input(item, place) for place, item in enumerate(items)]
    # The names are checked, the values are the caller's.
    known = _known("embeddings", fields)
    return cast(EmbeddingRequest, {**known, "operation": "embeddings", "model": model, "input": made})


def read_ranking(
    model: str, query: str, documents: Sequence[str | Mapping[str, Any]], fields: Mapping[str, Any]
) -> RerankRequest:
    """The canonical request of what is to be ranked.

    Raises:
        RequestError: a document is neither a text nor a map, or a field is none of the request's.
    """
    if not documents or isinstance(documents, str):
        raise RequestError("`documents` is a list with at least one text or map", param="documents")
    made = [_document(item, place) for place, item in enumerate(documents)]
    known = _known("rerank", fields)
    asked = {**known, "operation": "rerank", "model": model, "query": query, "documents": made}
    return cast(RerankRequest, asked)


def _known(operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    names = form(operation).fields
    unknown = sorted(fields.keys() - set(names))
    if unknown:
        raise RequestError(
            f"{operation} has no field `{unknown[0]}`; there is: {', '.join(names)}", param=unknown[0]
        )
    return dict(fields)


def _input(item: Any, place: int) -> EmbeddingInput:
    if isinstance(item, str):
        return EmbeddingInput(text=item)
    if isinstance(item, Mapping) and len({"text", "tokens", "content"} & item.keys()) == 1:
        return cast(EmbeddingInput, dict(item))
    if isinstance(item, Sequence) and item and all(_is_token(each) for each in item):
        return EmbeddingInput(tokens=list(item))
    where = f"input[{place}]"
    raise RequestError(
        f"`{where}` is no text, no list of tokens and no map with one of text, tokens, content", param=where
    )


def _is_token(value: Any) -> bool:
    return type(value) is int


def _document(item: Any, place: int) -> RerankDocument:
    if isinstance(item, str):
        return RerankDocument(text=item)
    if isinstance(item, Mapping):
        found = RerankDocument(fields=dict(item))
        if isinstance(item.get("text"), str):
            found = RerankDocument(text=item["text"]) if len(item) == 1 else {"text": item["text"], **found}
        return found
    where = f"documents[{place}]"
    raise RequestError(f"`{where}` is neither a text nor a map", param=where)
