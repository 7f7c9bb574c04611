"""Vectors of texts: how like two are, and which of many are the likest, without comparing all to the end.

Two thousand numbers are compared in a tenth of a millisecond, so a few hundred vectors would hold up
everything else for a while. So each is kept with the signs of its numbers as one integer; those with the most
signs in common are compared in full. For texts alike enough to matter, the likest is among them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Final, TypeAlias

#: Single precision: enough to compare, and small enough to keep.
Vector: TypeAlias = "array[float]"

#: Vectors that are compared in full.
COMPARED: Final = 16


def unit(vector: Sequence[float]) -> Vector:
    """The vector of length 1 in the same direction; empty where it has none."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    return array("f", (value / length for value in vector) if length else ())


def likeness(a: Vector, b: Vector) -> float:
    """The cosine of two vectors of length 1; -1 where they are not of one model."""
    return sum(map(mul, a, b)) if len(a) == len(b) else -1.0


def signs(vector: Vector) -> int:
    """Which of its numbers are above zero, as the bits of an integer."""
    return int("".join("1" if value > 0 else "0" for value in vector) or "0", 2)


def likest(own: Vector, others: Sequence[tuple[int, Vector]]) -> list[tuple[float, int]]:
    """(likeness, index) of the vectors most like this one, the likest first; each comes with its `signs`."""
    mine = signs(own)
    nearest = sorted(range(len(others)), key=lambda index: (mine ^ others[index][0]).bit_count())
    found = [(likeness(own, others[index][1]), index) for index in nearest[:COMPARED]]
    return sorted(found, key=lambda each: -each[0])
