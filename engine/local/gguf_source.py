"""A GGUF file of the llama family, read and judged: its shape, its tensors, and whether we can convert it.

Only what the emitter reproduces exactly is let through. Everything else (other architectures, biases,
experts, scaled or partial rotary embeddings) is refused by name with the way that does work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from engine.local.errors import ModelError
from engine.local.gguf_blocks import BLOCK, Blocks, from_q8_0, quantise, unrotate

LAYER_TENSORS = (
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip

BUILDER = (
    "use the official builder on the original (not GGUF) model instead: `python -m "
    "onnxruntime_genai.models.builder -i HF_FOLDER -o OUT -p int8 -e cpu`, then `engine models add OUT`"
)


def unsupported(path: Path, why: str) -> ModelError:
    return ModelError("unsupported", f"{path} cannot be converted: {why}", BUILDER)


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a llama: all that the graph and the config need."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int  # tokens
    epsilon: float
    rope_base: float
    tied: bool  # the embedding is the output head too


class Llama:
    """The file, its metadata and its tensors as numbers. Tensors are read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
        except Exception as error:  # noqa: BLE001 - the reader raises whatever its numpy slices raise on a broken file
            raise ModelError(
                "corrupted", f"{path} is not a whole GGUF file: {error}", "fetch it again"
            ) from None
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.shape = self._judge()

    def get(self, key: str, default: Any = None) -> Any:
        """A metadata value, or `default`."""
        field = self._reader.fields.get(key)
        return default if field is None else field.contents()

    def floats(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32, rows first."""
        tensor = self._tensors[name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(values, np.float32).reshape([int(n) for n in tensor.shape[::-1]])

    def blocks(self, names: Sequence[str]) -> Blocks:
        """The rows of several matrices under one another as 8-bit blocks; query and key rows un-interleaved.

        A tensor that is Q8_0 already keeps its exact values.
        """
        parts = [self._blocks(name) for name in names]
        return Blocks(np.concatenate([p.data for p in parts]), np.concatenate([p.scales for p in parts]))

    def _blocks(self, name: str) -> Blocks:
        tensor = self._tensors[name]
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            blocks = from_q8_0(np.asarray(tensor.data))
        else:
            blocks = quantise(self.floats(name))
        heads = {"attn_q": self.shape.heads, "attn_k": self.shape.kv_heads}.get(name.split(".")[-2])
        return Blocks(unrotate(blocks.data, heads), unrotate(blocks.scales, heads)) if heads else blocks

    def _judge(self) -> Shape:
        architecture = self.get("general.architecture")
        if architecture != "llama":
            raise unsupported(self.path, f"its architecture is {architecture!r}, only `llama` is built in")
        try:
            shape = self._read_shape()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "corrupted", f"{self.path} lacks what every llama has: {error}", "convert it to GGUF again"
            ) from None
        self._judge_tensors(shape)
        if self.get("llama.expert_count", 0):
            raise unsupported(self.path, "it is a mixture of experts")
        if self.get("llama.rope.scaling.type", "none") not in (None, "none"):
            raise unsupported(self.path, f"its rope scaling is {self.get('llama.rope.scaling.type')!r}")
        rotary = int(self.get("llama.rope.dimension_count", shape.head_size))
        if rotary != shape.head_size or shape.head_size % 2:
            raise unsupported(self.path, f"it rotates {rotary} of {shape.head_size} dimensions of a head")
        value = int(self.get("llama.attention.value_length", shape.head_size))
        if value != shape.head_size:
            raise unsupported(
                self.path, f"its key and value heads differ in size ({shape.head_size}, {value})"
            )
        widths = (shape.hidden, shape.feed_forward, shape.heads * shape.head_size)
        if any(width % BLOCK for width in widths):
            raise unsupported(self.path, f"its widths {widths} are not multiples of {BLOCK}")
        return shape

    def _judge_tensors(self, shape: Shape) -> None:
        wanted = {f"blk.{i}.{name}.weight" for i in range(shape.layers) for name in LAYER_TENSORS}
        wanted |= {"token_embd.weight", "output_norm.weight"}
        if missing := sorted(wanted - self._tensors.keys()):
            raise unsupported(self.path, f"it has no tensor {missing[0]}")
        if more := sorted(self._tensors.keys() - wanted - {"output.weight"}):
            raise unsupported(self.path, f"a plain llama has no tensor {more[0]}")

    def _read_shape(self) -> Shape:
        def need(key: str) -> int:
            value = self.get(f"llama.{key}")
            if not isinstance(value, int):  # some families have a list, one number a layer
                raise KeyError(f"llama.{key} is {value!r}")
            return value

        hidden, heads = need("embedding_length"), need("attention.head_count")
        embedding = self._tensors.get("token_embd.weight")
        if embedding is None:
            raise KeyError("token_embd.weight")
        return Shape(
            layers=need("block_count"),
            hidden=hidden,
            feed_forward=need("feed_forward_length"),
            heads=heads,
            kv_heads=int(self.get("llama.attention.head_count_kv", heads)),
            head_size=int(self.get("llama.attention.key_length", hidden // heads)),
            vocabulary=int(embedding.shape[1]),
            context=need("context_length"),
            epsilon=float(self.get("llama.attention.layer_norm_rms_epsilon", 1e-5)),
            rope_base=float(self.get("llama.rope.freq_base", 10_000.0)),
            tied="output.weight" not in self._tensors,
        )
