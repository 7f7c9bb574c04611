"""Tokens of a text or a request, from a model folder's tokenizer.json, without the worker.

`tokenizers` is imported and the file read at the first count, in a thread; texts above 16 KB are counted in
a thread too. Nothing is ever downloaded. Without the package, or where the template's texts are not known
(`template.ChatShape`), the count is a bound from above and says so. The strings of control tokens inside a
text count as the text they are (`control`).
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.local.control import Controls, Masked, plain_files
from engine.local.request import Refused, template_messages, template_tools
from engine.local.template import ChatShape, apply
from engine.wire.canonical import Request

OFF_LOOP_BYTES = 16 * 1024

#: Added to a bound: what a template may print around a conversation and around each message.
PER_REQUEST, PER_MESSAGE = 64, 16


@dataclass(frozen=True, slots=True)
class Count:
    """`exact`: what the model will be given; else no fewer than that."""

    tokens: int
    exact: bool


class TokenCounter:
    """Counts for one model folder; safe for many tasks at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokenizer: Any = None
        self._controls: Controls | None = None
        self._plain: Any = None  # knows no control tokens; made when a text holds the string of one
        self._loading = asyncio.Lock()

    async def count_text(self, text: str) -> Count:
        """The tokens of a text as it stands; a byte a token at most where `tokenizers` is missing."""
        controls = await self._ready()
        return await self._sum([(text, controls is not None and controls.held(text))])

    async def count(self, request: Request, shape: ChatShape | None = None) -> Count:
        """The prompt tokens of a request: exact with the template's shape and no tools, else a bound.

        What a local model would refuse (an image, say) counts by its JSON.
        """
        try:
            messages, tools = template_messages(request), template_tools(request)
        except Refused:
            text = str({key: request.get(key) for key in ("messages", "tools")})
            return Count(len(text.encode("utf-8", "surrogatepass")) + PER_REQUEST, exact=False)
        parsed = orjson.loads(messages)
        if shape is not None and tools is None:
            controls = await self._ready()
            masked = controls.mask(parsed) if controls is not None else Masked(parsed, {})
            if (prompt := apply(shape, masked.value)) is not None:
                return await self._sum(controls.runs(prompt, masked) if controls else [(prompt, False)])
        parts = [await self.count_text(message["content"]) for message in parsed]
        extra = [orjson.dumps(call).decode() for message in parsed for call in message.get("tool_calls", ())]
        more = [await self.count_text(text) for text in (*extra, tools or "")]
        tokens = sum(part.tokens for part in (*parts, *more))
        return Count(tokens + PER_REQUEST + PER_MESSAGE * len(parsed), exact=False)

    async def _ready(self) -> Controls | None:
        """Loads what counting needs; None where `tokenizers` is missing."""
        if importlib.util.find_spec("tokenizers") is None:
            return None
        async with self._loading:
            if self._controls is None:
                self._tokenizer = await asyncio.to_thread(_load, self._folder / "tokenizer.json")
                self._controls = await asyncio.to_thread(Controls.read, self._folder)
        return self._controls

    async def _sum(self, runs: Iterable[tuple[str, bool]]) -> Count:
        """The tokens of pieces of text, each with or without control tokens."""
        parts = [(text, plain) for text, plain in runs]
        if self._tokenizer is None:
            return Count(sum(len(text.encode("utf-8", "surrogatepass")) for text, _ in parts), exact=False)
        if any(plain for _, plain in parts):
            async with self._loading:
                if self._plain is None:
                    self._plain = await asyncio.to_thread(_load_plain, self._folder)
        if sum(len(text) for text, _ in parts) > OFF_LOOP_BYTES:
            return Count(await asyncio.to_thread(self._encode, parts), exact=True)
        return Count(self._encode(parts), exact=True)

    def _encode(self, parts: Sequence[tuple[str, bool]]) -> int:
        tokens = 0
        for text, plain in parts:
            # a lone surrogate is no text; it is refused when the request is sent, here it only has a size
            text = text.encode("utf-8", "replace").decode()
            tokenizer = self._plain if plain else self._tokenizer
            tokens += len(tokenizer.encode(text, add_special_tokens=False).ids)
        return tokens


def _load(file: Path) -> Any:
    from tokenizers import Tokenizer  # here: slow to import, and many processes never count

    return Tokenizer.from_file(str(file))


def _load_plain(folder: Path) -> Any:
    from tokenizers import Tokenizer  # as above

    return Tokenizer.from_str(plain_files(folder)["tokenizer.json"])
