"""Vectors: their likeness, and that the likest is found without comparing all."""

from __future__ import annotations

import math
from random import Random

import pytest

from engine.policies.vectors import COMPARED, Vector, likeness, likest, signs, unit


def near(random: Random, vector: Vector, noise: float) -> Vector:
    return unit([value + random.gauss(0, noise) for value in vector])


def test_a_unit_has_length_one() -> None:
    assert list(unit([3.0, 4.0])) == pytest.approx([0.6, 0.8])
    assert not unit([0.0, 0.0])
    assert not unit([])


def test_likeness() -> None:
    assert likeness(unit([1, 0]), unit([1, 1])) == pytest.approx(math.sqrt(0.5))
    assert likeness(unit([1, 0]), unit([1, 0, 0])) == -1.0


def test_signs() -> None:
    assert signs(unit([1, -1, 0, 2])) == 0b1001
    assert signs(unit([])) == 0


@pytest.mark.parametrize("dimensions", [64, 384])
def test_the_likest_is_found_among_many(dimensions: int) -> None:
    random = Random(5)
    known = [unit([random.gauss(0, 1) for _ in range(dimensions)]) for _ in range(150)]
    signed = [(signs(each), each) for each in known]
    for index in range(0, 150, 10):
        own = near(random, known[index], 0.3 / math.sqrt(dimensions))
        found = likest(own, signed)
        assert len(found) == COMPARED
        assert found[0][1] == index
        assert found[0][0] > 0.9
        assert found == sorted(found, reverse=True)


def test_of_none_none_is_likest() -> None:
    assert likest(unit([1.0]), []) == []
