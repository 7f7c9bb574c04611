"""Builds tiny GenAI folders at test time with onnx and numpy: nothing is downloaded, nothing is committed.

`build_random`: a llama-shaped model with random weights, two layers, a byte-level tokenizer, half a megabyte.
`build_canned`: the same graph with its attention silenced and a next-token table in the head, so its
greedy answer to anything is one fixed sentence and the end token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOS, EOS = 0, 2
TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

#: The canned model's answer, word by word as its tokens.
SENTENCE = ("Hello", " from", " the", " tiny", " test", " model", ".")


@dataclass(frozen=True)
class Size:
    """The numbers of a model to build."""

    vocabulary: tuple[str, ...]
    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 128
    context: int = 2048

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def build_random(folder: Path, *, seed: int = 0, context: int = 2048) -> Path:
    """A model that babbles; the same for the same seed."""
    size = Size((*SPECIAL, *byte_alphabet()), context=context)
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> np.ndarray:
        scale = 1.0 if name == "embedding" else 1 / np.sqrt(shape[0])
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    return _write(folder, size, weight)


def build_canned(folder: Path, *, words: tuple[str, ...] = SENTENCE, context: int = 2048) -> Path:
    """A model that answers `words` to everything, then ends. Greedy; a repeated word is its own token."""
    alphabet = byte_alphabet()
    base = len(SPECIAL) + len(alphabet)
    spoken = ["".join(alphabet[byte] for byte in word.encode()) for word in words]
    # no merge leads to these tokens, so a prompt never holds one and always leads to the first word
    vocabulary = (
        *SPECIAL,
        *alphabet,
        *(word if word not in spoken[:i] else f"{word}#{i}" for i, word in enumerate(spoken)),
    )
    width = -(-len(vocabulary) // 32) * 32  # embeddings are one-hot: as wide as the vocabulary
    size = Size(
        vocabulary, layers=1, hidden=width, heads=width // 32, kv_heads=1, feed_forward=32, context=context
    )
    following = np.full(len(vocabulary), base)
    following[base:] = [*range(base + 1, len(vocabulary)), EOS]

    def weight(name: str, *shape: int) -> np.ndarray:
        table = np.zeros(shape, np.float32)
        if name == "embedding":
            table[np.arange(len(vocabulary)), np.arange(len(vocabulary))] = 1
        elif name == "head":
            table[np.arange(len(vocabulary)), following] = 1
        return table

    return _write(folder, size, weight)


def _write(folder: Path, size: Size, weight: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_graph(size, weight), str(folder / "model.onnx"))
    for name, content in (
        ("genai_config.json", _config(size)),
        ("tokenizer.json", _tokenizer(size.vocabulary)),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _graph(size: Size, weight: Any) -> onnx.ModelProto:
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def const(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def matrix(name: str, *shape: int) -> str:
        return const(name, weight(name, *shape))

    def node(op: str, inputs: list[str], out: str | list[str], domain: str = "", **attributes: Any) -> str:
        outs = [out] if isinstance(out, str) else out
        nodes.append(helper.make_node(op, inputs, outs, domain=domain, **attributes))
        return outs[0]

    def norm(x: str, out: str) -> str:
        ones = const(f"{out}.scale", np.ones(size.hidden, np.float32))
        return node("SimplifiedLayerNormalization", [x, ones], out, axis=-1, epsilon=1e-5)

    def value(name: str, kind: int, *dimensions: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, dimensions)

    one = const("one", np.array([1], np.int64))
    count = node("ReduceSum", ["attention_mask", one], "count", keepdims=0)
    past = node("Cast", [node("Sub", [count, one], "last")], "past", to=TensorProto.INT32)
    width = node("Squeeze", [node("Shape", ["attention_mask"], "shape", start=1, end=2)], "width")
    total = node("Cast", [width], "total", to=TensorProto.INT32)
    angles = np.outer(np.arange(size.context), 1e4 ** -(np.arange(0, size.head_size, 2) / size.head_size))
    cos = const("cos", np.cos(angles).astype(np.float32))
    sin = const("sin", np.sin(angles).astype(np.float32))
    inputs = [
        value(name, TensorProto.INT64, "b", d) for name, d in (("input_ids", "s"), ("attention_mask", "t"))
    ]
    outputs = [value("logits", TensorProto.FLOAT, "b", "s", len(size.vocabulary))]
    h = node("Gather", [matrix("embedding", len(size.vocabulary), size.hidden), "input_ids"], "h")
    for i in range(size.layers):
        columns = (size.heads + 2 * size.kv_heads) * size.head_size
        qkv = node("MatMul", [norm(h, f"in{i}"), matrix(f"qkv{i}", size.hidden, columns)], f"qkv.{i}")
        kept = [f"past_key_values.{i}.key", f"past_key_values.{i}.value"]
        new = [f"present.{i}.key", f"present.{i}.value"]
        node(
            "GroupQueryAttention", [qkv, "", "", *kept, past, total, cos, sin], [f"att{i}", *new], CONTRIB,
            num_heads=size.heads, kv_num_heads=size.kv_heads, do_rotary=1,
        )  # fmt: skip
        inputs += [value(name, TensorProto.FLOAT, "b", size.kv_heads, "p", size.head_size) for name in kept]
        outputs += [value(name, TensorProto.FLOAT, "b", size.kv_heads, "n", size.head_size) for name in new]
        h = node(
            "Add",
            [h, node("MatMul", [f"att{i}", matrix(f"out{i}", size.hidden, size.hidden)], f"o.{i}")],
            f"mid{i}",
        )
        x = norm(h, f"ffn{i}")
        gate = node("MatMul", [x, matrix(f"gate{i}", size.hidden, size.feed_forward)], f"gate.{i}")
        up = node("MatMul", [x, matrix(f"up{i}", size.hidden, size.feed_forward)], f"up.{i}")
        x = node("Mul", [node("QuickGelu", [gate], f"silu{i}", CONTRIB, alpha=1.0), up], f"gated{i}")
        h = node(
            "Add",
            [h, node("MatMul", [x, matrix(f"down{i}", size.feed_forward, size.hidden)], f"d.{i}")],
            f"end{i}",
        )
    node("MatMul", [norm(h, "final"), matrix("head", size.hidden, len(size.vocabulary))], "logits")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
    body = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    return helper.make_model(body, ir_version=10, opset_imports=opsets)


def _tokenizer(vocabulary: tuple[str, ...]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token} | flags for i, token in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(vocabulary)},
            "merges": [],
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    names = {"bos_token": SPECIAL[BOS], "eos_token": SPECIAL[EOS], "unk_token": SPECIAL[BOS]}
    return {"tokenizer_class": "GPT2Tokenizer", **names, "chat_template": TEMPLATE}


def _config(size: Size) -> dict[str, Any]:
    past = {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    present = {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    return {
        "model": {
            "type": "llama",
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "pad_token_id": BOS,
            "vocab_size": len(size.vocabulary),
            "context_length": size.context,
            "decoder": {
                "session_options": {"provider_options": []},
                "filename": "model.onnx",
                "head_size": size.head_size,
                "hidden_size": size.hidden,
                "num_attention_heads": size.heads,
                "num_hidden_layers": size.layers,
                "num_key_value_heads": size.kv_heads,
                "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **past},
                "outputs": {"logits": "logits", **present},
            },
        },
        "search": {"max_length": size.context, "past_present_share_buffer": True, "do_sample": False},
    }
