"""GGUF to GenAI folder: the numbers are those of a llama written down in numpy, or the file is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinygguf
from gguf.constants import GGMLQuantizationType as Kind

from engine.local.convert import convert
from engine.local.errors import ModelError
from engine.local.gguf_blocks import quantise
from engine.local.store import ModelStore, open_folder

#: Loads a folder, feeds ids in slices, prints the last logits: GenAI keeps to a process of its own.
LOGITS = """
import json, os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime_genai as og
folder, ids, size = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
config = og.Config(folder); config.clear_providers(); model = og.Model(config)
parameters = og.GeneratorParams(model); parameters.set_search_options(max_length=len(ids) + 1)
generator = og.Generator(model, parameters)
for start in range(0, len(ids), size): generator.append_tokens(ids[start:start + size])
print(json.dumps(generator.get_logits().reshape(-1).tolist()))
"""


def logits(folder: Path, ids: list[int], size: int) -> np.ndarray:
    command = [sys.executable, "-c", LOGITS, str(folder), json.dumps(ids), str(size)]
    return np.array(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


@pytest.mark.parametrize(
    ("quantised", "tied"), [(Kind.Q8_0, True), (Kind.Q8_0, False), (Kind.Q4_1, True), (None, True)]
)
def test_logits_are_those_of_the_definition(tmp_path: Path, quantised: Kind | None, tied: bool) -> None:
    tensors = tinygguf.weights(tied=tied)
    convert(tinygguf.write(tmp_path / "tiny.gguf", tensors, quantised=quantised), tmp_path / "out")
    ids = np.random.default_rng(1).integers(3, len(tinygguf.TOKENS), 40).tolist()
    wanted = tinygguf.last_logits(tinygguf.stored(tensors, quantised), ids)
    sliced, whole = logits(tmp_path / "out", ids, 7), logits(tmp_path / "out", ids, len(ids))
    assert whole.shape == wanted.shape  # the last position only
    # weights and activations are 8 bits: the direction is the same, not the last digits
    for found in (whole, sliced):
        assert np.corrcoef(found, wanted)[0, 1] > 0.999
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert np.abs(sliced - whole).max() < 0.02 * np.abs(wanted).max()


def test_the_folder_is_complete_and_the_store_takes_it(tmp_path: Path) -> None:
    source = tinygguf.write(tmp_path / "tiny.gguf", tinygguf.weights())
    seen: list[tuple[str, int, int]] = []
    folder = ModelStore(tmp_path / "models").add(source, lambda *step: seen.append(step))
    assert folder.name == "tiny"
    assert folder.manifest is not None
    assert folder.manifest.context == tinygguf.CONTEXT
    assert folder.manifest.licence == "mit"
    assert folder.manifest.quantisation == "int8, blocks of 32"
    assert seen[-1] == ("convert", 2, 2)
    assert open_folder(folder.path) == folder
    config = json.loads((folder.path / "genai_config.json").read_text())["model"]
    assert (config["vocab_size"], config["eos_token_id"]) == (len(tinygguf.TOKENS), 2)
    tokenizer = json.loads((folder.path / "tokenizer.json").read_text())
    assert tokenizer["pre_tokenizer"]["pretokenizers"][0] == {"type": "Digits", "individual_digits": True}
    assert sorted(tmp_path.glob("models/[!.]*")) == [folder.path]


def test_the_catalogues_words_go_into_the_folder(tmp_path: Path) -> None:
    template = "{% if true %}Be SmolLM{% endif %}" + tinygguf.TEMPLATE
    changed = {"tokenizer__chat_template": template}
    source = tinygguf.write(tmp_path / "tiny.gguf", tinygguf.weights(), **changed)
    convert(source, tmp_path / "out", system=("Be SmolLM", "Be kind"), repetition_penalty=1.5)
    wanted = template.replace("Be SmolLM", "Be kind")
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["chat_template"] == wanted
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == wanted
    search = json.loads((tmp_path / "out" / "genai_config.json").read_text())["search"]
    assert (search["repetition_penalty"], search["do_sample"]) == (1.5, False)
    with pytest.raises(ModelError, match="'Be mean'") as caught:
        convert(source, tmp_path / "other", system=("Be mean", "Be kind"))
    assert caught.value.code == "unsupported"
    assert not (tmp_path / "other").exists()


def spoiled(**changes: Any) -> Any:
    return lambda path, tensors: tinygguf.write(path, tensors, **changes)


def with_tensor(name: str) -> Any:
    return lambda path, tensors: tinygguf.write(path, tensors | {name: np.ones(32, np.float32)})


def truncated(path: Path, tensors: dict[str, np.ndarray]) -> None:
    tinygguf.write(path, tensors)
    os.truncate(path, path.stat().st_size // 2)


REFUSED: list[tuple[str, Any, str, str]] = [
    ("qwen2", spoiled(architecture="qwen2"), "unsupported", "'qwen2'"),
    ("sentencepiece", spoiled(tokenizer__ggml__model="llama"), "unsupported", "tokenizer is 'llama'"),
    ("splitting", spoiled(tokenizer__ggml__pre="deepseek"), "unsupported", "'deepseek'"),
    ("base model", spoiled(without=("tokenizer.chat_template",)), "unsupported", "no chat template"),
    ("no end", spoiled(without=("tokenizer.ggml.eos_token_id",)), "unsupported", "end-of-sequence"),
    ("rope freqs", with_tensor("rope_freqs.weight"), "unsupported", "rope_freqs.weight"),
    ("bias", with_tensor("blk.0.attn_q.bias"), "unsupported", "blk.0.attn_q.bias"),
    ("experts", spoiled(llama__expert_count=8), "unsupported", "mixture of experts"),
    ("rope scaling", spoiled(llama__rope__scaling__type="yarn"), "unsupported", "'yarn'"),
    ("partial rotary", spoiled(llama__rope__dimension_count=16), "unsupported", "rotates 16 of 32"),
    ("missing layer", spoiled(llama__block_count=3), "unsupported", "blk.2."),
    ("no context", spoiled(without=("llama.context_length",)), "corrupted", "llama.context_length"),
    ("cut", truncated, "corrupted", "not a whole GGUF"),
    (
        "no gguf",
        lambda path, _: path.write_bytes(b"<html>not found</html>" * 9),
        "corrupted",
        "not a whole GGUF",
    ),
    ("empty", lambda path, _: path.write_bytes(b""), "corrupted", "not a whole GGUF"),
]


@pytest.mark.parametrize(("make", "code", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(tmp_path: Path, make: Any, code: str, words: str) -> None:
    make(tmp_path / "x.gguf", tinygguf.weights())
    with pytest.raises(ModelError) as caught:
        convert(tmp_path / "x.gguf", tmp_path / "out")
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.help
    assert not (tmp_path / "out").exists()


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name))
    with pytest.raises(ModelError, match="onnx, not installed") as caught:
        convert(tmp_path / "x.gguf", tmp_path / "out")
    assert "llm-runner-router[local]" in caught.value.help


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    source = tinygguf.write(tmp_path / "tiny.gguf", tinygguf.weights())

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    store = ModelStore(tmp_path / "models")
    with pytest.raises(KeyboardInterrupt):
        store.add(source, interrupt)
    assert [path.name for path in store.root.iterdir()] == [".locks"]
    assert store.add(source).name == "tiny"


def test_rounding_to_blocks_keeps_within_half_a_step() -> None:
    values = np.random.default_rng(0).standard_normal((8, 96)).astype(np.float32)
    values[0, :32] = 0
    blocks = quantise(values)
    back = (blocks.data.astype(np.float32) - 128) * blocks.scales[..., None]
    error = np.abs(back - values.reshape(8, 3, 32))
    assert (error <= blocks.scales[..., None] * 0.501).all()
