"""Weights as 8-bit blocks: the form that `MatMulNBits` and `GatherBlockQuantized` read.

A row is cut into blocks of 32; each has one float32 scale, and a stored byte `b` means `(b - 128) * scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
Q8_0_BYTES = 2 + BLOCK  # a float16 scale and 32 signed bytes

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix of N rows in blocks: `data` (N, blocks, 32) unsigned bytes, `scales` (N, blocks) float32."""

    data: NDArray[np.uint8]
    scales: NDArray[np.float32]


def from_q8_0(raw: NDArray[Any]) -> Blocks:
    """GGML's Q8_0 rows (bytes) as blocks, without loss: signed bytes become offset bytes."""
    blocks = raw.reshape(raw.shape[0], -1, Q8_0_BYTES).view(np.uint8)
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0]
    return Blocks(blocks[..., 2:] ^ np.uint8(128), scales.astype(np.float32))


def quantise(values: NDArray[np.float32]) -> Blocks:
    """Rounds a float matrix (N, K) to 8 bits, symmetric about zero, largest value of a block = 127."""
    blocks = values.reshape(values.shape[0], -1, BLOCK)
    largest = np.abs(blocks).max(axis=-1)
    scales = np.where(largest == 0, 1.0, largest / 127).astype(np.float32)
    steps = np.rint(blocks / scales[..., None])
    return Blocks((np.clip(steps, -127, 127) + 128).astype(np.uint8), scales)


def unrotate(rows: NDArray[Number], heads: int) -> NDArray[Number]:
    """Rows of a query or key matrix from GGUF's order (rotary pairs beside each other) to halves."""
    size = rows.shape[0] // heads
    return rows.reshape(heads, size // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
