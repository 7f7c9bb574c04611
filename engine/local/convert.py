"""GGUF file -> int8 ONNX Runtime GenAI folder, without torch.

This is the door: it says what to install when the `local` extra is missing, and only then imports the
modules that need numpy, onnx and gguf (`gguf_source`, `gguf_blocks`, `gguf_graph`, `gguf_tokenizer`).
One tensor at a time is read, so peak memory is about one tensor plus what the system maps of the file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.local.errors import ModelError
from engine.local.manifest import Progress, silent

NEEDED = ("numpy", "onnx", "gguf")


@dataclass(frozen=True, slots=True)
class Converted:
    """What the GGUF said about itself, for the manifest."""

    architecture: str
    quantisation: str
    context: int  # tokens
    licence: str


def convert(
    source: Path,
    out: Path,
    progress: Progress = silent,
    *,
    system: tuple[str, str] | None = None,
    repetition_penalty: float = 1.0,
) -> Converted:
    """Writes the GenAI folder `out` from the GGUF `source`; it appears whole or not at all.

    `system`: a text in the chat template, and what to write in its place. Raises `ModelError`:
    `extra_missing`, `corrupted` (not a whole GGUF), `unsupported` (another architecture or tokenizer, no such
    text), `exists` (`out` is there already).
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ModelError(
            "extra_missing",
            f"converting a GGUF needs {', '.join(missing)}, not installed here",
            'pip install "llm-runner-router[local]"',
        )
    if out.exists():
        raise ModelError("exists", f"{out} exists already", "remove it or give another place")
    from engine.local.gguf_graph import write_graph
    from engine.local.gguf_source import Llama
    from engine.local.gguf_tokenizer import read_tokenizer, with_text, write_tokenizer

    model = Llama(source)
    tokenizer = read_tokenizer(model)  # before the long part: refuses what it cannot write
    if system is not None:
        tokenizer = with_text(tokenizer, *system, source)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        write_graph(model, draft, lambda done, total: progress("convert", done, total))
        if repetition_penalty != 1.0:
            _write_search(draft, repetition_penalty=repetition_penalty)
        write_tokenizer(tokenizer, draft)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    licence = model.get("general.license", "unknown")
    return Converted("llama", "int8, blocks of 32", model.shape.context, str(licence))


def _write_search(folder: Path, **defaults: float) -> None:
    """Adds to what GenAI searches by where a request says nothing."""
    path = folder / "genai_config.json"
    config = json.loads(path.read_bytes())
    config["search"] |= defaults
    path.write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
