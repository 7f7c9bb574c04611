"""How many tokens a request is: a bound from above, an exact count, or an honest guess.

The bound is what comparisons (`request.input_tokens > 3k`, `admit.input`) and reserves use where no tokenizer
is at hand: a token is at least one byte of UTF-8, so the text's bytes plus a declared overhead for every
message, part, tool and image (by the model: `providers.d/facts/overheads.yaml`) can only be too high. The
guess (four bytes a token) is for what a call probably cost where a vendor did not say; it is always flagged
as estimated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, Literal, cast

from engine.plan.vendors import ImageTokens
from engine.runtime.pictures import image_tokens, size_of
from engine.wire.canonical import Part, Request
from engine.wire.operations import AnyRequest, EmbeddingInput, EmbeddingRequest, RerankRequest

#: Tokens beside the text, where a model's facts declare none: role markers, separators, a tool's frame, the
#: prompt that stands before tools, or comes with one that the vendor knows by its type.
OVERHEAD: Final[dict[str, int]] = {
    "message": 8,
    "part": 4,
    "tools": 400,
    "tool": 16,
    "hosted": 2_000,
    "audio": 2_000,
    "file": 20_000,
    "request": 16,
}

#: An image for a model of which nobody knows it: the most that any known vendor makes of one whose size it
#: bounds is 48,169 (gpt-4o-mini).
IMAGE: Final = ImageTokens(50_000)

#: Of a model of which nobody knows it: no other reads more tokens.
LONGEST_CONTEXT: Final = 10_000_000

#: Of a recording's base64: 32 tokens a second at most, 1 kB of sound a second at least. MP3 has no less.
_SPOKEN_BYTES: Final = 40
_NO_LESS: Final = frozenset({"mp3"})

#: Beginnings of media types whose bytes are what is read. Of a PDF or an archive a page may be a few bytes.
_READ_AS_THEY_ARE: Final = ("text/", "application/json", "application/xml", "application/yaml")

#: Keys by which a vendor's own block says where to find what is not in it.
_ELSEWHERE: Final = frozenset(
    {"url", "uri", "file_id", "file_url", "image_url", "fileUri", "file_uri", "s3Location"}
)

_BYTES_PER_TOKEN: Final = 4
_MOST_BYTES_PER_TOKEN: Final = 12
#: Tokens around a message, as most vendors put them.
_AROUND: Final = 4

#: Tokens of a document beyond which it counts as two: Cohere cuts at 500, the query among them.
_SEARCHED: Final = 250

#: The fields of a part that a model may read.
_TEXTS: Final[tuple[Literal["text", "arguments", "name", "id"], ...]] = ("text", "arguments", "name", "id")


def widest(overheads: Iterable[Mapping[str, int] | None]) -> dict[str, int]:
    """The highest overhead of several models, so that one bound holds for all of them."""
    found = dict(OVERHEAD)
    for overhead in overheads:
        for name, tokens in (overhead or {}).items():
            found[name] = max(found.get(name, 0), tokens)
    return found


def images_of(rules: Iterable[ImageTokens | None]) -> tuple[ImageTokens, ...]:
    """What several models make of an image, so that the most of them holds for all; None: nobody knows it."""
    found = tuple(dict.fromkeys(IMAGE if rule is None else rule for rule in rules))
    return found or (IMAGE,)


def bound(
    request: AnyRequest, overhead: Mapping[str, int] = OVERHEAD, images: tuple[ImageTokens, ...] = (IMAGE,)
) -> int:
    """Input tokens of a request of any operation, never too low. Files and recordings: `media_tokens`."""
    return _bound(Beside(overhead, images), request)


def rule(overhead: Mapping[str, int], images: tuple[ImageTokens, ...]) -> Callable[[AnyRequest], int]:
    """`bound` for models of which this is known."""
    return partial(_bound, Beside(overhead, images))


def _bound(costs: Beside, request: AnyRequest) -> int:
    overhead, operation = costs.tokens, request.get("operation")
    if operation == "embeddings":
        inputs = cast(EmbeddingRequest, request).get("input", ())
        return overhead["request"] + sum(overhead["part"] + _input(each, costs) for each in inputs)
    if operation == "rerank":
        # The query stands before every document: each pair is read by itself.
        query, *documents = _texts(cast(RerankRequest, request))
        pair = 2 * overhead["part"] + query
        return overhead["request"] + sum(pair + document for document in documents)
    return _chat(cast(Request, request), costs)


class Beside:
    """What stands beside the text of a request costs."""

    __slots__ = ("images", "tokens")

    def __init__(self, tokens: Mapping[str, int], images: tuple[ImageTokens, ...]) -> None:
        self.tokens = tokens
        self.images = images


def _chat(request: Request, costs: Beside) -> int:
    overhead = costs.tokens
    messages = request.get("messages", ())
    total = overhead["request"] + len(messages) * overhead["message"]
    for message in messages:
        total += json_size(message.get("provider_data"))
        for part in message.get("content", ()):
            total += overhead["part"] + _part(part, costs)
    tools = request.get("tools", ())
    total += overhead["tools"] if tools else 0
    for tool in tools:
        total += overhead["tool"] + size(tool.get("name")) + size(tool.get("description"))
        total += json_size(tool.get("parameters"))
        if "hosted" in tool:
            total += overhead["hosted"] + json_size(tool["hosted"])
    schema = request.get("response_format", {}).get("schema")
    return total + json_size(schema) + json_size(request.get("extra"))


def _input(item: EmbeddingInput, costs: Beside) -> int:
    parts = sum(costs.tokens["part"] + _part(part, costs) for part in item.get("content", ()))
    return parts + size(item.get("text")) + size(item.get("title")) + len(item.get("tokens", ()))


def _texts(request: RerankRequest) -> Iterator[int]:
    """Bytes of the query, then of each document."""
    yield size(request.get("query"))
    for document in request.get("documents", ()):
        yield json_size(document["fields"]) if "fields" in document else size(document.get("text"))


def media_tokens(request: AnyRequest) -> int | None:
    """Tokens of the files, recordings and vendors' own blocks in a request at most, as far as `bound` does
    not count them. None: one of them lies elsewhere, or may be longer than its bytes are: a PDF, a recording
    that is packed well.
    """
    chat, embedded = cast(Request, request), cast(EmbeddingRequest, request)
    held = [each.get("content", ()) for each in chat.get("messages", ())]
    if request.get("operation") == "embeddings":
        held = [each.get("content", ()) for each in embedded.get("input", ())]
    total = 0
    for content in held:
        for part in _media(content):
            tokens = _media_tokens(part)
            if tokens is None:
                return None
            total += tokens
    return total


def _media_tokens(part: Part) -> int | None:
    data = part.get("data")
    if part["type"] == "native":
        return None if _points_elsewhere(part.get("provider_data")) else 0
    if data is None:
        return None
    if part["type"] == "file":
        return len(data) if part.get("media_type", "").startswith(_READ_AS_THEY_ARE) else None
    return len(data) // _SPOKEN_BYTES if part.get("format") in _NO_LESS else None


def _points_elsewhere(value: object) -> bool:
    if isinstance(value, Mapping):
        return not _ELSEWHERE.isdisjoint(value) or any(map(_points_elsewhere, value.values()))
    return isinstance(value, list | tuple) and any(map(_points_elsewhere, value))


def _media(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if part.get("type") in ("file", "audio", "native"):
            yield part
        yield from _media(part.get("content", ()))


def text_bytes(request: AnyRequest) -> int:
    """Bytes of text in a request, without any overhead; of a token that stands there as one, four."""
    operation = request.get("operation")
    if operation == "embeddings":
        return sum(
            size(each.get("text"))
            + _BYTES_PER_TOKEN * len(each.get("tokens", ()))
            + sum(map(_text, each.get("content", ())))
            for each in cast(EmbeddingRequest, request).get("input", ())
        )
    if operation == "rerank":
        query, *documents = _texts(cast(RerankRequest, request))
        return query * len(documents) + sum(documents)
    request = cast(Request, request)
    return sum(_text(part) for message in request.get("messages", ()) for part in message.get("content", ()))


def search_units(request: AnyRequest, bound: int) -> int:
    """Search units that a ranking may be billed for at most: one for each hundred documents, of which a long
    one counts as several. 1 for any other request.
    """
    if request.get("operation") != "rerank":
        return 1
    documents = len(cast(RerankRequest, request).get("documents", ()))
    return max(1, -(-(documents + bound // _SEARCHED) // 100))


def least(bound: int) -> int:
    """What a request of this bound has for certain: no usual text has more bytes a token."""
    return bound // _MOST_BYTES_PER_TOKEN


def guess(octets: int) -> int:
    """About how many tokens so many bytes of text are."""
    return -(-octets // _BYTES_PER_TOKEN)


def estimate(request: AnyRequest, count: Callable[[str], int] | None) -> int:
    """About how many input tokens a request is: by its model's tokenizer where that is at hand, else by its
    bytes.
    """
    if count is None or request.get("operation", "chat") != "chat":
        return guess(text_bytes(request))
    messages = cast(Request, request).get("messages", ())
    texts = [text for message in messages for part in message.get("content", ()) for text in _words(part)]
    return count("".join(texts)) + _AROUND * (len(messages) + 1)


def _words(part: Part) -> Iterator[str]:
    for name in _TEXTS:
        if text := part.get(name):
            yield text
    for inner in part.get("content", ()):
        yield from _words(inner)


def _part(part: Part, costs: Beside) -> int:
    kind = part.get("type", "text")
    if kind == "text":
        return size(part.get("text"))
    if kind == "image":
        data = part.get("data")
        return image_tokens(costs.images, None if data is None else size_of(data))
    if kind in {"audio", "file"}:
        return costs.tokens[kind] + json_size(part.get("provider_data"))
    inside = sum(costs.tokens["part"] + _part(inner, costs) for inner in part.get("content", ()))
    # What a model thought may come back encrypted, and is read as what it was.
    sealed = size(part.get("redacted")) + size(part.get("signature"))
    return inside + _own(part) + sealed + json_size(part.get("provider_data"))


def _text(part: Part) -> int:
    return _own(part) + sum(_text(inner) for inner in part.get("content", ()))


def _own(part: Part) -> int:
    return sum(size(part.get(name)) for name in _TEXTS)


def size(text: str | None) -> int:
    """UTF-8 bytes; surrogates that no encoder takes count as three."""
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def json_size(value: object) -> int:
    """UTF-8 bytes of a value as JSON; 0 of nothing."""
    return 0 if value is None else size(json.dumps(value, ensure_ascii=False))
