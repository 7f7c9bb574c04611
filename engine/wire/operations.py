"""The canonical shapes of the operations beside chat, and the table of what each operation is read into.

`embeddings` and `rerank` have requests and replies of their own; `count_tokens` takes a chat's `Request` and
gives a `TokenCount`. As with chats, everything is a plain dict typed by a `TypedDict`: an absent key is an
absent value. What these forms have in common with a chat's has the same name there (`model`, `user`, `usage`,
`extra`), so that whoever serves requests reads it without asking which operation it is.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, cast

from engine.wire.canonical import Json, Part, Reply, Request, Usage

Purpose = Literal[
    "query",
    "document",
    "similarity",
    "classification",
    "clustering",
    "question",
    "fact",
    "code_query",
    "code_document",
]

NumberType = Literal["float32", "int8", "uint8", "binary", "ubinary"]

Counted = Literal["exact", "bound", "vendor"]


class EmbeddingInput(TypedDict, total=False):
    """One thing to embed: it gets one vector. Exactly one of `text`, `tokens` and `content` stands in it."""

    text: str
    tokens: list[int]  # the model's own token ids
    content: list[Part]  # text, image, audio and file parts that make one vector together
    title: str  # of a document


class EmbeddingRequest(TypedDict, total=False):
    """What to embed, in order. `model` is the name the client asked for."""

    operation: Literal["embeddings"]
    model: str
    input: list[EmbeddingInput]
    dimensions: int  # numbers in a vector
    encoding_format: Literal["float", "base64"]  # how the client wants vectors; default float
    number_type: NumberType  # default float32; `binary` and `ubinary` hold eight dimensions a number
    input_type: Purpose  # what the vectors are for
    truncate: Literal["none", "start", "end"]  # where too long an input is cut; none: it is an error
    user: str
    metadata: dict[str, str]
    extra: dict[str, Json]  # fields the ingress dialect does not name; only passthrough keeps them


class Embedding(TypedDict, total=False):
    """One vector: `vector` or `base64`, as the vendor gave it; `unpack` and `pack` make one of the other."""

    index: int  # of its input
    vector: list[float]
    base64: str  # the numbers' bytes, little-endian, in base64


class EmbeddingReply(TypedDict, total=False):
    """The vectors, one for each input and in their order."""

    id: str
    created: int  # Unix seconds
    model: str  # the model that served, by our name
    embeddings: list[Embedding]
    usage: Usage
    provider_data: dict[str, Json]


class RerankDocument(TypedDict, total=False):
    """One document to rank: a text, or named fields."""

    text: str
    fields: dict[str, Json]


class RerankRequest(TypedDict, total=False):
    """A query, and the documents to rank by it. `model` is the name the client asked for."""

    operation: Literal["rerank"]
    model: str
    query: str
    documents: list[RerankDocument]
    top_n: int  # most results; default all
    return_documents: bool
    rank_fields: list[str]  # of documents with fields: those that count, in order
    max_tokens_per_document: int  # longer ones are cut
    truncate: bool  # false: too long an input is an error
    user: str
    metadata: dict[str, str]
    extra: dict[str, Json]  # fields the ingress dialect does not name; only passthrough keeps them


class RerankResult(TypedDict, total=False):
    """One document's relevance."""

    index: int  # of the document in the request
    score: float  # higher is more relevant; the scale is the model's
    document: RerankDocument  # where the vendor returned it


class RerankReply(TypedDict, total=False):
    """The results, most relevant first."""

    id: str
    model: str  # the model that served, by our name
    results: list[RerankResult]
    usage: Usage
    provider_data: dict[str, Json]


class TokenCount(TypedDict, total=False):
    """How many input tokens a chat request is."""

    model: str  # the model that counted, by our name
    input_tokens: int
    counted: Counted  # vendor: it said so; exact: by the model's own tokenizer here; bound: at most so many
    usage: Usage  # counting costs nothing: always empty
    provider_data: dict[str, Json]


AnyRequest = Request | EmbeddingRequest | RerankRequest
AnyReply = Reply | EmbeddingReply | RerankReply | TokenCount

#: Fields of any request that no vendor needs to see: they steer the engine itself.
_OURS: Final = frozenset({"operation", "model"})

#: What of a chat can be input, and so be missed in a count of its tokens.
_COUNTED: Final = frozenset({"messages", "tools", "tool_choice", "response_format", "reasoning"})


def _fields(form: type) -> frozenset[str]:
    return frozenset(typing.get_type_hints(form))


@dataclass(frozen=True, slots=True)
class Form:
    """The canonical forms of an operation.

    request, reply: names of the classes above and in `canonical`.
    ours: request fields that are not for vendors, so that leaving them out loses nothing.
    batched: its input is a list, answered item by item, so that it may be cut into several calls.
    """

    request: str
    reply: str
    fields: tuple[str, ...]
    ours: frozenset[str]
    batched: bool = False


def _form(request: type, reply: type, ours: frozenset[str] = frozenset(), *, batched: bool = False) -> Form:
    names = tuple(typing.get_type_hints(request))
    return Form(request.__name__, reply.__name__, names, _OURS | ours, batched)


OPERATIONS: Final[Mapping[str, Form]] = {
    "chat": _form(Request, Reply, frozenset({"stream", "include_usage", "conversation"})),
    # How a vendor writes its numbers, a client does not see: they are made what it asked for.
    "embeddings": _form(EmbeddingRequest, EmbeddingReply, frozenset({"encoding_format"}), batched=True),
    "rerank": _form(RerankRequest, RerankReply),
    "count_tokens": _form(Request, TokenCount, _fields(Request) - _COUNTED),
}


def form(operation: str) -> Form:
    """The forms of an operation; of one that is not served, a chat's."""
    return OPERATIONS.get(operation, OPERATIONS["chat"])


def check_reply(operation: str, reply: Any) -> str | None:
    """Why something read is no reply of the operation; None where it is one.

    Embeddings without an `index` get the place they stand at, and all are put in order.
    """
    if not isinstance(reply, dict):
        return "the answer is no object"
    if operation == "embeddings":
        return _check_embeddings(reply)
    if operation == "rerank":
        return _check_ranking(reply)
    if operation == "count_tokens":
        counted = reply.get("input_tokens")
        return None if type(counted) is int and counted >= 0 else "the answer holds no count"
    return _check_choices(reply.get("choices"))


def check_answers(operation: str, reply: AnyReply, request: AnyRequest) -> str | None:
    """Why a reply does not answer this request; None where it does, as far as numbers tell."""
    if operation == "embeddings":
        got = len(cast(EmbeddingReply, reply)["embeddings"])
        wanted = len(cast(EmbeddingRequest, request).get("input", ()))
        return None if got == wanted else f"{got} embeddings came for {wanted} inputs"
    if operation == "rerank":
        there = len(cast(RerankRequest, request).get("documents", ()))
        beyond = [
            each["index"] for each in cast(RerankReply, reply)["results"] if not 0 <= each["index"] < there
        ]
        return f"the answer ranks document {beyond[0]} of {there}" if beyond else None
    return None


def _check_choices(choices: Any) -> str | None:
    """Empty is an answer that says how it ended; one that says nothing at all is none."""
    if not isinstance(choices, list) or not choices:
        return "the answer holds no choices"
    for place, each in enumerate(choices):
        if each.get("native_finish_reason"):
            continue
        message = each.get("message") or {}
        if not (
            any(map(_says, message.get("content") or ()))
            or any((message.get("provider_data") or {}).values())
        ):
            return f"choice {place} of the answer holds nothing, and no word of how it ended"
    return None


def _says(part: Mapping[str, Any]) -> bool:
    """Whether anything stands in a part but what it is and whose."""
    return any(value for name, value in part.items() if name not in ("type", "origin"))


def _check_embeddings(reply: dict[str, Any]) -> str | None:
    found = reply.get("embeddings")
    if not isinstance(found, list) or not found:
        return "the answer holds no embeddings"
    for place, each in enumerate(found):
        if not isinstance(each, dict) or not ("vector" in each or "base64" in each):
            return f"embedding {place} of the answer has no vector"
        if type(each.setdefault("index", place)) is not int:
            return f"embedding {place} of the answer has an index that is no number"
    found.sort(key=lambda each: each["index"])
    if any(each["index"] != place for place, each in enumerate(found)):
        return "the answer's embeddings are not one an input"
    return None


def _check_ranking(reply: dict[str, Any]) -> str | None:
    found = reply.get("results")
    if not isinstance(found, list):
        return "the answer holds no results"
    for place, each in enumerate(found):
        if not isinstance(each, dict) or type(each.get("index")) is not int:
            return f"result {place} of the answer names no document"
        if type(each.get("score")) not in (int, float):
            return f"result {place} of the answer has no score"
    return None
