"""Tokens of a text or a request, from a model folder's tokenizer.json, without the worker.

`tokenizers` is imported and the file read at the first count, in a thread; texts above 16 KB are counted in
a thread too. Nothing is ever downloaded. Without the package, or where the template's texts are not known
(`template.ChatShape`), the count is a bound from above and says so.
"""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

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
        self._file = folder / "tokenizer.json"
        self._tokenizer: Any = None
        self._loading = asyncio.Lock()

    async def count_text(self, text: str) -> Count:
        """The tokens of a text as it stands; a byte a token at most where `tokenizers` is missing."""
        if importlib.util.find_spec("tokenizers") is None:
            return Count(len(text.encode("utf-8", "surrogatepass")), exact=False)
        async with self._loading:
            if self._tokenizer is None:
                self._tokenizer = await asyncio.to_thread(_load, self._file)
        if len(text) > OFF_LOOP_BYTES:
            return Count(await asyncio.to_thread(self._encode, text), exact=True)
        return Count(self._encode(text), exact=True)

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
        prompt = apply(shape, parsed) if shape is not None and tools is None else None
        if prompt is not None:
            return await self.count_text(prompt)
        parts = [await self.count_text(message["content"]) for message in parsed]
        extra = [orjson.dumps(call).decode() for message in parsed for call in message.get("tool_calls", ())]
        more = [await self.count_text(text) for text in (*extra, tools or "")]
        tokens = sum(part.tokens for part in (*parts, *more))
        return Count(tokens + PER_REQUEST + PER_MESSAGE * len(parsed), exact=False)

    def _encode(self, text: str) -> int:
        # a lone surrogate is no text; it is refused when the request is sent, here it only has a size
        text = text.encode("utf-8", "replace").decode()
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _load(file: Path) -> Any:
    from tokenizers import Tokenizer  # here: slow to import, and many processes never count

    return Tokenizer.from_file(str(file))
