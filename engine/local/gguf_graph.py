"""The ONNX graph of a llama, its weights streamed to disk, and the GenAI config that drives it.

Per layer: norm, one fused query-key-value `MatMulNBits`, `GroupQueryAttention` (with rotary), output
projection, norm, gated feed-forward. The embedding is `GatherBlockQuantized`, a tied head has the same bytes.
The head sees the last position only (`last_position`): a quarter less time to the first token and no
vocabulary-sized logits for a prompt. That is right for one sequence a `Generator`, also when it is fed in
slices (only the last slice's last position is sampled), and wrong for a padded batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.local.gguf_blocks import BLOCK, Blocks
from engine.local.gguf_source import Llama, Shape

CONTRIB = "com.microsoft"
ALIGNMENT = 64  # bytes between tensors of the data file
INT8_ACCUMULATION = 4  # accuracy_level: int8 products; others unpack to float every call, 20x slower

Step = Callable[[int, int], None]


def write_graph(model: Llama, folder: Path, step: Step) -> None:
    """Writes model.onnx, model.onnx.data and genai_config.json; `step` hears (layers done, layers)."""
    with (folder / "model.onnx.data").open("wb") as data:
        graph = _Graph(data, "model.onnx.data")
        proto = _llama(model, graph, step)
    onnx.save(proto, str(folder / "model.onnx"))
    (folder / "genai_config.json").write_text(json.dumps(_config(model), indent=1), encoding="utf-8")


class _Graph:
    """Collects nodes and initializers; big ones go straight to the data file."""

    def __init__(self, data: Any, location: str) -> None:
        self._data, self._location = data, location
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def small(self, name: str, values: Any) -> str:
        """An int64 constant inside the graph: shape inference refuses external ones."""
        self.initializers.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def weight(self, name: str, values: NDArray[Any]) -> str:
        values = np.ascontiguousarray(values)
        self._data.write(b"\0" * (-self._data.tell() % ALIGNMENT))
        tensor = TensorProto(
            name=name,
            data_location=TensorProto.EXTERNAL,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            dims=values.shape,
        )
        place = {"location": self._location, "offset": str(self._data.tell()), "length": str(values.nbytes)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
        self._data.write(values.data)
        self.initializers.append(tensor)
        return name

    def node(
        self, operator: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any
    ) -> str:
        """Adds a node named for its first output, which it returns."""
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(
            helper.make_node(operator, inputs, names, name=names[0], domain=domain, **attributes)
        )
        return names[0]

    def linear(self, x: str, blocks: Blocks, out: str) -> str:
        """`x` times the transposed 8-bit matrix."""
        data = self.weight(f"{out}.q", blocks.data)
        return self.matmul(x, data, self.weight(f"{out}.s", blocks.scales), out, blocks.data.shape)

    def matmul(self, x: str, data: str, scales: str, out: str, shape: tuple[int, ...]) -> str:
        rows, width = shape[0], shape[1] * shape[2]
        return self.node(
            "MatMulNBits", [x, data, scales], out, CONTRIB,
            K=width, N=rows, bits=8, block_size=BLOCK, accuracy_level=INT8_ACCUMULATION,
        )  # fmt: skip


def _llama(model: Llama, graph: _Graph, step: Step) -> onnx.ModelProto:
    shape = model.shape
    inputs = [_value("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    inputs.append(_value("attention_mask", TensorProto.INT64, ["batch", "total"]))
    outputs = [_value("logits", TensorProto.FLOAT, ["batch", "last", shape.vocabulary])]
    lengths = _lengths(graph)
    cos, sin = _rotary(graph, shape)
    table = model.blocks(["token_embd.weight"])
    embedding = graph.weight("embedding.q", table.data.reshape(shape.vocabulary, shape.hidden))
    scales = graph.weight("embedding.s", table.scales)
    stream = graph.node(
        "GatherBlockQuantized", [embedding, "input_ids", scales], "embedded", CONTRIB,
        bits=8, block_size=BLOCK, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    added: str | None = None  # what the next norm adds to the residual stream first
    for layer in range(shape.layers):
        stream, added = _layer(model, graph, layer, stream, added, [*lengths, cos, sin])
        for kind in ("key", "value"):
            kept: list[str | int] = ["batch", shape.kv_heads, "past", shape.head_size]
            inputs.append(_value(f"past_key_values.{layer}.{kind}", TensorProto.FLOAT, kept))
            kept = ["batch", shape.kv_heads, "total", shape.head_size]
            outputs.append(_value(f"present.{layer}.{kind}", TensorProto.FLOAT, kept))
        step(layer + 1, shape.layers)
    x, _ = _norm(model, graph, "output_norm.weight", "final", stream, added)
    x = graph.node("Gather", [x, graph.small("last", [-1])], "last_position", axis=1)
    if shape.tied:
        blocks = [shape.vocabulary, shape.hidden // BLOCK, BLOCK]
        head = graph.node("Reshape", [embedding, graph.small("head.shape", blocks)], "head.q")
        graph.matmul(x, head, scales, "logits", tuple(blocks))
    else:
        graph.linear(x, model.blocks(["output.weight"]), "logits")
    body = helper.make_graph(graph.nodes, "llama", inputs, outputs, graph.initializers)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(body, ir_version=10, producer_name="llm-runner-router", opset_imports=imports)


def _layer(
    model: Llama, graph: _Graph, layer: int, stream: str, added: str | None, attention: list[str]
) -> tuple[str, str]:
    """One decoder layer; returns the residual stream and what is to be added to it."""
    shape, here = model.shape, f"blk.{layer}."
    x, stream = _norm(model, graph, f"{here}attn_norm.weight", f"l{layer}.in", stream, added)
    qkv = graph.linear(x, model.blocks([f"{here}attn_{part}.weight" for part in "qkv"]), f"l{layer}.qkv")
    past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
    present = [f"present.{layer}.key", f"present.{layer}.value"]
    x = graph.node(
        "GroupQueryAttention", [qkv, "", "", *past, *attention], [f"l{layer}.attention", *present], CONTRIB,
        num_heads=shape.heads, kv_num_heads=shape.kv_heads, do_rotary=1, rotary_interleaved=0,
    )  # fmt: skip
    added = graph.linear(x, model.blocks([f"{here}attn_output.weight"]), f"l{layer}.out")
    x, stream = _norm(model, graph, f"{here}ffn_norm.weight", f"l{layer}.mid", stream, added)
    gate = graph.linear(x, model.blocks([f"{here}ffn_gate.weight"]), f"l{layer}.gate")
    up = graph.linear(x, model.blocks([f"{here}ffn_up.weight"]), f"l{layer}.up")
    gate = graph.node("QuickGelu", [gate], f"l{layer}.silu", CONTRIB, alpha=1.0)  # x * sigmoid(x)
    x = graph.node("Mul", [gate, up], f"l{layer}.gated")
    return stream, graph.linear(x, model.blocks([f"{here}ffn_down.weight"]), f"l{layer}.down")


def _norm(
    model: Llama, graph: _Graph, weight: str, out: str, stream: str, added: str | None
) -> tuple[str, str]:
    """Adds `added` to the stream, then normalises; returns (normalised, stream)."""
    scale, epsilon = graph.weight(f"{out}.scale", model.floats(weight)), model.shape.epsilon
    if added is None:
        inputs = [stream, scale]
        return graph.node(
            "SimplifiedLayerNormalization", inputs, out, axis=-1, epsilon=epsilon, stash_type=1
        ), stream
    inputs, total = [stream, added, scale], f"{out}.stream"
    graph.node("SkipSimplifiedLayerNormalization", inputs, [out, "", "", total], CONTRIB, epsilon=epsilon)
    return out, total


def _lengths(graph: _Graph) -> list[str]:
    """The attention mask as the two lengths `GroupQueryAttention` wants."""
    one = graph.small("one", [1])
    count = graph.node("ReduceSum", ["attention_mask", one], "mask.count", keepdims=0)
    last = graph.node("Sub", [count, one], "mask.last")
    lengths = graph.node("Cast", [last], "past_lengths", to=TensorProto.INT32)
    width = graph.node("Shape", ["attention_mask"], "mask.shape", start=1, end=2)
    width = graph.node("Squeeze", [width], "mask.width")
    return [lengths, graph.node("Cast", [width], "total_length", to=TensorProto.INT32)]


def _rotary(graph: _Graph, shape: Shape) -> tuple[str, str]:
    powers = np.arange(0, shape.head_size, 2) / shape.head_size
    angles = np.outer(np.arange(shape.context), shape.rope_base**-powers)
    return (
        graph.weight("rotary.cos", np.cos(angles).astype(np.float32)),
        graph.weight("rotary.sin", np.sin(angles).astype(np.float32)),
    )


def _value(name: str, kind: int, dimensions: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dimensions)


def _config(model: Llama) -> dict[str, Any]:
    shape, eos = model.shape, model.get("tokenizer.ggml.eos_token_id")
    return {
        "model": {
            "type": "llama",
            "bos_token_id": model.get("tokenizer.ggml.bos_token_id", eos),
            "eos_token_id": eos,
            "pad_token_id": model.get("tokenizer.ggml.padding_token_id", eos),
            "vocab_size": shape.vocabulary,
            "context_length": shape.context,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "head_size": shape.head_size,
                "hidden_size": shape.hidden,
                "num_attention_heads": shape.heads,
                "num_hidden_layers": shape.layers,
                "num_key_value_heads": shape.kv_heads,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": shape.context,
            "num_beams": 1,
            "past_present_share_buffer": True,
        },
    }
