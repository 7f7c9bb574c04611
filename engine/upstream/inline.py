"""What a request names by URL, put into it as data, for a format that takes no URLs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

from engine.plan.vendors import Inline
from engine.upstream.media import Fetched, MediaFetcher, NotFetchedError
from engine.wire.canonical import Part, Request

#: URLs that are fetched for one request.
PIECES: Final = 20
_FETCHED: Final = ("https://", "http://")


def missing(request: Any, plan: Inline) -> list[Part]:
    """The parts that are to be fetched: those with an http(s) URL, of the kinds that the format wants."""
    return [part for part in _parts(request) if _wanted(part, plan)]


async def inlined(request: Request, plan: Inline, fetcher: MediaFetcher | None) -> Request:
    """The request with the data in place of the URLs, itself where it names none.

    Raises:
        NotFetchedError: one of them may not or cannot be fetched, or nothing may be.
    """
    parts = missing(request, plan)
    if not parts:
        return request
    kind = "images" if parts[0]["type"] == "image" else "files"
    if fetcher is None:
        raise NotFetchedError(
            f"it takes no {kind} by their URL, and this workspace fetches none (`media.fetch` of engine.yaml)"
        )
    urls = {part["url"]: part for part in parts}
    if len(urls) > PIECES:
        raise NotFetchedError(f"more than {PIECES} URLs would have to be fetched")
    found = await _all(urls, plan.max_bytes, fetcher)
    return {**request, "messages": _replaced(request["messages"], plan, found)}


async def _all(urls: dict[str, Part], cap: int, fetcher: MediaFetcher) -> dict[str, Fetched]:
    """Each URL once, all at the same time; the first that fails ends the others."""

    async def one(url: str, part: Part) -> Fetched:
        image = part["type"] == "image"
        try:
            return await fetcher.fetch(url, cap, image=image, said=part.get("media_type"))
        except NotFetchedError as error:
            raise NotFetchedError(f"the {part['type']} was not fetched: {error}") from None

    tasks = {url: asyncio.ensure_future(one(url, part)) for url, part in urls.items()}
    try:
        return dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _parts(request: Any) -> Iterator[Part]:
    for message in request.get("messages", ()):
        for part in message.get("content", ()):
            yield part
            yield from part.get("content", ())


def _wanted(part: Part, plan: Inline) -> bool:
    kind = part.get("type")
    if not ((kind == "image" and plan.images) or (kind == "file" and plan.files)) or "data" in part:
        return False
    return part.get("url", "").lower().startswith(_FETCHED)


def _replaced(messages: Any, plan: Inline, found: dict[str, Fetched]) -> Any:
    """The messages with what was found; what holds none of it is the same object."""

    def part_of(part: Any) -> Any:
        if _wanted(part, plan):
            got = found[part["url"]]
            rest = {key: value for key, value in part.items() if key != "url"}
            return {**rest, "data": b64encode(got.data).decode("ascii"), "media_type": got.media_type}
        if "content" in part:
            return {**part, "content": [part_of(inner) for inner in part["content"]]}
        return part

    return [
        {**message, "content": [part_of(part) for part in message["content"]]}
        if "content" in message
        else message
        for message in messages
    ]
