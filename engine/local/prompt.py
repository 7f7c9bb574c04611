"""A conversation as token ids, inside the worker: the chat template's own control tokens, and text.

An ordinary conversation is rendered and encoded in one go by GenAI. Where a message holds the string of a
control token, the pieces with such strings are encoded by a second tokenizer that knows no control tokens
(`control`); it is made when it is first needed and costs what the first one costs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.local.control import Altered, Controls, end_tokens, plain_files


class Unfit(Exception):
    """This request cannot be started; becomes a `fault`."""

    def __init__(self, failure: str, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class Prompts:
    """Template and tokenizer of the loaded model."""

    def __init__(self, og: Any, tokenizer: Any, folder: Path, vocabulary: int) -> None:
        """`og`: the module onnxruntime_genai. Raises what reading `folder`'s files raises."""
        self._og, self._tokenizer, self._folder, self._vocabulary = og, tokenizer, folder, vocabulary
        self._controls = Controls.read(folder)
        self._plain: Any = None

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """The chat template's text for a conversation without tools."""
        return str(self._tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True))

    def encode(self, messages: str, tools: str | None, *, begun: bool = False) -> list[int]:
        """The token ids of a conversation, never empty; `begun`: its last message is the beginning of the
        answer, and so stands open at the end. Raises `Unfit("bad_request")`.
        """
        try:
            ids = self._encode(messages, tools, begun)
        except Altered as altered:
            raise Unfit("bad_request", str(altered)) from None
        except Exception as error:  # a template raises what it likes, GenAI also UnicodeDecodeError
            raise Unfit("bad_request", f"the chat template refused the messages: {error}") from error
        if not ids:
            raise Unfit("bad_request", "the prompt is empty")
        return ids

    def _encode(self, messages: str, tools: str | None, begun: bool) -> list[int]:
        masked = self._controls.mask([json.loads(messages), None if tools is None else json.loads(tools)])
        answer = masked.value[0].pop()["content"] if begun else ""
        if masked.marks or begun:
            messages, tools = json.dumps(masked.value[0]), tools and json.dumps(masked.value[1])
        given = {} if tools is None else {"tools": tools}
        # The turn that a template opens for the answer is where its beginning belongs.
        prompt = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, **given) + answer
        ids: list[int] = []
        for text, plain in self._controls.runs(prompt, masked) if masked.marks else ((prompt, False),):
            ids += self._as_text(text) if plain else self._tokenizer.encode(text).tolist()
        # GenAI computes nonsense for an id outside the vocabulary instead of refusing it
        if ids and (min(ids) < 0 or max(ids) >= self._vocabulary):
            raise ValueError("the tokenizer gives ids outside the model's vocabulary: the folder is mixed up")
        return ids

    def _as_text(self, text: str) -> list[int]:
        """The ids of a text that holds strings of control tokens: none of theirs, and the same bytes."""
        if self._plain is None:
            with tempfile.TemporaryDirectory(prefix="engine-tokenizer-") as place:
                for name, content in plain_files(self._folder).items():
                    (Path(place) / name).write_text(content, encoding="utf-8")
                self._plain = self._og.Tokenizer(place)
        ids: list[int] = self._plain.encode(text).tolist()
        if not {*ids}.isdisjoint(self._controls.ids.values()) or self._tokenizer.decode(ids) != text:
            raise Altered(
                "the messages hold the string of a control token, which this model's tokenizer "
                "cannot take as text; leave it out of the messages"
            )
        return ids


def model_numbers(folder: Path) -> tuple[frozenset[int], int, int]:
    """(end tokens, context, vocabulary size) of a folder's genai_config.json."""
    model = json.loads((folder / "genai_config.json").read_bytes())["model"]
    return end_tokens(model), model["context_length"], model["vocab_size"]
