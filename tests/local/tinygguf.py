"""Writes tiny GGUF files with gguf's own writer, and computes what such a llama must say with numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind
from tinymodel import EOS, SPECIAL, TEMPLATE, byte_alphabet

TOKENS = [*SPECIAL, *byte_alphabet()]
LAYERS, HIDDEN, HEADS, KV_HEADS, FEED, CONTEXT = 2, 64, 2, 1, 96, 256
HEAD = HIDDEN // HEADS
EPSILON, BASE = 1e-5, 10_000.0


def weights(*, tied: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors in GGUF's names and layout (rows first; query and key rows interleaved)."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    found = {
        "token_embd.weight": matrix(len(TOKENS), HIDDEN) * 8,
        "output_norm.weight": 1 + rng.random(HIDDEN),
    }
    for i in range(LAYERS):
        here = f"blk.{i}."
        found |= {
            f"{here}attn_norm.weight": 1 + rng.random(HIDDEN),
            f"{here}attn_q.weight": matrix(HIDDEN, HIDDEN),
            f"{here}attn_k.weight": matrix(KV_HEADS * HEAD, HIDDEN),
            f"{here}attn_v.weight": matrix(KV_HEADS * HEAD, HIDDEN),
            f"{here}attn_output.weight": matrix(HIDDEN, HIDDEN),
            f"{here}ffn_norm.weight": 1 + rng.random(HIDDEN),
            f"{here}ffn_gate.weight": matrix(FEED, HIDDEN),
            f"{here}ffn_up.weight": matrix(FEED, HIDDEN),
            f"{here}ffn_down.weight": matrix(HIDDEN, FEED),
        }
    if not tied:
        found["output.weight"] = matrix(len(TOKENS), HIDDEN)
    return {name: values.astype(np.float32) for name, values in found.items()}


def write(
    path: Path,
    tensors: dict[str, np.ndarray],
    *,
    quantised: Kind | None = Kind.Q8_0,
    architecture: str = "llama",
    without: tuple[str, ...] = (),
    **metadata: Any,
) -> Path:
    """A GGUF of these; matrices are stored as `quantised`. In `metadata`, a dot is two underscores."""
    writer = gguf.GGUFWriter(path, architecture)
    fields: dict[str, Any] = {
        "llama.block_count": LAYERS,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": FEED,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "llama.context_length": CONTEXT,
        "llama.rope.freq_base": BASE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": EOS,
        "tokenizer.chat_template": TEMPLATE,
        "general.license": "mit",
    }
    fields |= {name.replace("__", "."): value for name, value in metadata.items()}
    for name, value in fields.items():
        if name in without:
            continue
        {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)](name, value)
    writer.add_array("tokenizer.ggml.tokens", TOKENS)
    writer.add_array("tokenizer.ggml.token_type", [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_array("tokenizer.ggml.merges", ["a b"])
    for name, values in tensors.items():
        if values.ndim == 1 or quantised is None:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(tensors: dict[str, np.ndarray], quantised: Kind | None) -> dict[str, np.ndarray]:
    """The values that the file holds: what quantising left of them."""
    if quantised is None:
        return tensors
    return {
        name: values if values.ndim == 1 else gguf.dequantize(gguf.quantize(values, quantised), quantised)
        for name, values in tensors.items()
    }


def last_logits(tensors: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The logits after `ids`, in float64, straight from the definition of a llama (interleaved rotary)."""
    w = {name: values.astype(np.float64) for name, values in tensors.items()}
    x, positions = w["token_embd.weight"][ids], np.arange(len(ids))
    angles = np.outer(positions, BASE ** -(np.arange(0, HEAD, 2) / HEAD))
    turn = np.exp(1j * angles)[:, None, :]
    mask = np.where(positions[:, None] < positions[None, :], -np.inf, 0.0)

    def norm(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return values / np.sqrt((values**2).mean(-1, keepdims=True) + EPSILON) * scale

    def rotate(values: np.ndarray) -> np.ndarray:
        turned = (values[..., 0::2] + 1j * values[..., 1::2]) * turn
        return np.stack([turned.real, turned.imag], -1).reshape(values.shape)

    for i in range(LAYERS):
        here = f"blk.{i}."
        y = norm(x, w[f"{here}attn_norm.weight"])
        q = rotate((y @ w[f"{here}attn_q.weight"].T).reshape(-1, HEADS, HEAD))
        k = rotate((y @ w[f"{here}attn_k.weight"].T).reshape(-1, KV_HEADS, HEAD))
        v = (y @ w[f"{here}attn_v.weight"].T).reshape(-1, KV_HEADS, HEAD)
        heads = []
        for head in range(HEADS):
            shared = head // (HEADS // KV_HEADS)
            scores = q[:, head] @ k[:, shared].T / np.sqrt(HEAD) + mask
            share = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(share / share.sum(-1, keepdims=True) @ v[:, shared])
        x = x + np.concatenate(heads, -1) @ w[f"{here}attn_output.weight"].T
        y = norm(x, w[f"{here}ffn_norm.weight"])
        gate = y @ w[f"{here}ffn_gate.weight"].T
        gated = gate / (1 + np.exp(-gate)) * (y @ w[f"{here}ffn_up.weight"].T)
        x = x + gated @ w[f"{here}ffn_down.weight"].T
    return norm(x, w["output_norm.weight"])[-1] @ w.get("output.weight", w["token_embd.weight"]).T
