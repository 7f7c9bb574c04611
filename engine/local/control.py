"""Text stays text: a control token counts only where the chat template writes it.

A tokenizer finds its control tokens (`<|im_end|>`) anywhere in a prompt, so a message that holds one could
end its own turn and begin a system's. Here such strings inside the messages are hidden behind marks while the
template is rendered (`mask`); the prompt is then cut at the control tokens that are left, which are the
template's own, and the pieces that held a mark are given back as they were, to be encoded by a tokenizer that
knows no control tokens (`runs`, `plain_files`). A prompt without such strings never comes this way.
Used by the worker, which builds prompts, and by the parent, which counts them: standard library only.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Altered(ValueError):
    """The chat template does not print a message as it is, so its control tokens cannot be made text."""


@dataclass(frozen=True, slots=True)
class Masked:
    """`value` with marks in place of the control tokens' strings; `marks`: mark -> (string, how often)."""

    value: Any
    marks: dict[str, tuple[str, int]]


class Controls:
    """The control tokens of one tokenizer: those that are special, and those that end an answer."""

    def __init__(self, tokens: Iterable[tuple[str, int]]) -> None:
        """`tokens`: (string, id)."""
        self.ids = {string: number for string, number in tokens if string}
        longest_first = sorted(self.ids, key=len, reverse=True)
        self._order = {string: place for place, string in enumerate(longest_first)}
        #: A group that never matches where there are none.
        self._pattern = re.compile("(" + ("|".join(map(re.escape, longest_first)) or r"(?!)") + ")")

    @classmethod
    def read(cls, folder: Path) -> Controls:
        """From `tokenizer.json` and `genai_config.json`. Raises `OSError`, `ValueError`, `KeyError`."""
        tokenizer, ends = json.loads((folder / "tokenizer.json").read_bytes()), _ends(folder)
        return cls((row["content"], row["id"]) for row in _added(tokenizer) if _is_control(row, ends))

    def held(self, text: str) -> bool:
        """Whether `text` holds the string of a control token."""
        return self._pattern.search(text) is not None

    def mask(self, value: Any) -> Masked:
        """Hides the control tokens' strings in every string of a JSON value, keys too."""
        found = Counter(match for text in _strings(value) for match in self._pattern.findall(text))
        if not found:
            return Masked(value, {})
        texts = list(_strings(value))
        # letters that every template and every JSON writer leave alone, and that no text here holds
        start = next(s for s in (f"@@{n}." for n in itertools.count()) if not any(s in t for t in texts))
        names = {string: f"{start}{self._order[string]}@@" for string in found}
        masked = _mapped(value, lambda text: self._pattern.sub(lambda match: names[match[0]], text))
        return Masked(masked, {names[string]: (string, times) for string, times in found.items()})

    def runs(self, prompt: str, masked: Masked) -> Iterator[tuple[str, bool]]:
        """The rendered prompt in pieces: (text, whether it is to be encoded without control tokens).

        Raises `Altered` where a mark did not come back: the template left something out or rewrote it.
        """
        for mark, (string, times) in masked.marks.items():
            if prompt.count(mark) < times:
                raise Altered(
                    f"the messages hold the control token {string} where this model's chat template does "
                    "not print text as it is; leave the token out of the messages"
                )
        ordinary = ""
        for piece in self._pattern.split(prompt):
            if not any(mark in piece for mark in masked.marks):
                ordinary += piece
                continue
            if ordinary:
                yield ordinary, False
            for mark, (string, _) in masked.marks.items():
                piece = piece.replace(mark, string)
            yield piece, True
            ordinary = ""
        if ordinary:
            yield ordinary, False


def plain_files(folder: Path) -> dict[str, str]:
    """The tokenizer's files without its control tokens, by name: what reads them takes every text as text."""
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    ends = _ends(folder)
    tokenizer["added_tokens"] = [row for row in _added(tokenizer) if not _is_control(row, ends)]
    config.pop("added_tokens_decoder", None)  # the same list once more
    return {
        "tokenizer.json": json.dumps(tokenizer),
        "tokenizer_config.json": json.dumps(config),
        "genai_config.json": (folder / "genai_config.json").read_text("utf-8"),
    }


def end_tokens(config: dict[str, Any]) -> frozenset[int]:
    """The ids that end an answer, from `model` of a genai_config.json."""
    ends = config["eos_token_id"]
    return frozenset(ends if isinstance(ends, list) else [ends])


def _ends(folder: Path) -> frozenset[int]:
    return end_tokens(json.loads((folder / "genai_config.json").read_bytes())["model"])


def _added(tokenizer: dict[str, Any]) -> list[dict[str, Any]]:
    return tokenizer.get("added_tokens") or []


def _is_control(row: dict[str, Any], ends: frozenset[int]) -> bool:
    return bool(row.get("special")) or row["id"] in ends


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    return value
