"""The tokenizer and chat template inside a GGUF, written as the files that GenAI and `tokenizers` read.

Byte-level BPE only (`tokenizer.ggml.model` = gpt2), with the splitting rules we can name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.local.gguf_source import Llama, unsupported

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"

#: How text is split before merging, by `tokenizer.ggml.pre`. None: by GPT-2's rule, in the byte-level step.
SPLITS: dict[str, dict[str, Any] | None] = {
    "default": None,
    "gpt-2": None,
    "smollm": {"type": "Digits", "individual_digits": True},
    "llama-bpe": {
        "type": "Split",
        "pattern": {"Regex": rf"{_ENDINGS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"},
        "behavior": "Isolated",
        "invert": False,
    },
    "qwen2": {
        "type": "Split",
        "pattern": {"Regex": rf"{_ENDINGS}|{_WORDS}|\p{{N}}|{_REST}"},
        "behavior": "Isolated",
        "invert": False,
    },
}

CONTROL, USER_DEFINED = 3, 4  # GGUF token types that text is never split into


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """The contents of tokenizer.json, tokenizer_config.json and chat_template.jinja."""

    tokenizer: dict[str, Any]
    config: dict[str, Any]
    template: str


def read_tokenizer(model: Llama) -> TokenizerFiles:
    """Builds the files' contents. Raises `ModelError("unsupported")`: another tokenizer, no chat template."""
    kind, split = model.get("tokenizer.ggml.model"), model.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2":
        raise unsupported(model.path, f"its tokenizer is {kind!r} only byte-level BPE (`gpt2`) is built in")
    if split not in SPLITS:
        raise unsupported(
            model.path, f"its tokenizer splits text by the rule {split!r}, built in: {', '.join(SPLITS)}"
        )
    template = model.get("tokenizer.chat_template")
    if not template:
        raise unsupported(model.path, "it has no chat template (a base model?)")
    tokens: list[str] = model.get("tokenizer.ggml.tokens")
    types: list[int] = model.get("tokenizer.ggml.token_type")

    def named(role: str) -> str | None:
        index = model.get(f"tokenizer.ggml.{role}_token_id")
        return None if index is None else tokens[index]

    if named("eos") is None:
        raise unsupported(model.path, "it names no end-of-sequence token")
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "add_bos_token": bool(model.get("tokenizer.ggml.add_bos_token", False)),
        "bos_token": named("bos"),
        "eos_token": named("eos"),
        "pad_token": named("padding"),
        "unk_token": named("unknown"),
        "model_max_length": model.shape.context,
        "clean_up_tokenization_spaces": False,
        "chat_template": template,
    }
    return TokenizerFiles(_bpe(tokens, types, model.get("tokenizer.ggml.merges"), split), config, template)


def with_text(files: TokenizerFiles, text: str, instead: str, source: Path) -> TokenizerFiles:
    """The files with another text in the chat template. Raises `ModelError("unsupported")` without `text`."""
    if files.template.count(text) != 1:
        raise unsupported(source, f"its chat template does not say {text!r}, which was to be replaced")
    template = files.template.replace(text, instead)
    return replace(files, config=files.config | {"chat_template": template}, template=template)


def write_tokenizer(files: TokenizerFiles, folder: Path) -> None:
    """Writes the three files into `folder`."""
    (folder / "tokenizer.json").write_text(json.dumps(files.tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(files.config, indent=1), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(files.template, encoding="utf-8")


def _bpe(tokens: list[str], types: list[int], merges: list[str], split: str) -> dict[str, Any]:
    rule = SPLITS[split]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        # Digits only pre-splits; a Split pattern replaces GPT-2's rule
        "use_regex": rule is None or rule["type"] != "Split",
    }
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == CONTROL,
        }
        for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (CONTROL, USER_DEFINED)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [rule, byte_level]} if rule else byte_level,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }
