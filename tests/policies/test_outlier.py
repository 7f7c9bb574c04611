"""Outlier ejection: who is clearly worse than its peers, for how long, and how many at a time."""

from __future__ import annotations

from random import Random

import pytest

from engine.policies.outlier import BASE_MS, LONGEST_MS, Ejection, outlying, room


@pytest.mark.parametrize(
    ("own", "peers", "is_one"),
    [
        pytest.param((20, 20), [(20, 0)], True, id="all-against-none"),
        pytest.param((19, 19), [(20, 0)], False, id="too-few-of-its-own"),
        pytest.param((20, 20), [(19, 0)], False, id="too-few-of-its-peers"),
        pytest.param((20, 20), [(10, 0), (10, 0)], True, id="peers-together"),
        pytest.param((20, 20), [], False, id="no-peers"),
        pytest.param((100, 40), [(100, 2)], True, id="forty-against-two-percent"),
        pytest.param((20, 6), [(20, 2)], False, id="chance-would-do"),
        pytest.param((100_000, 9_000), [(100_000, 1_000)], False, id="the-gap-is-small"),
        pytest.param((100, 60), [(100, 60)], False, id="all-are-bad"),
        pytest.param((100, 2), [(100, 40)], False, id="it-is-the-better-one"),
        pytest.param((20, 0), [(20, 0)], False, id="nothing-fails"),
    ],
)
def test_clearly_worse(own: tuple[int, int], peers: list[tuple[int, int]], is_one: bool) -> None:
    assert outlying(*own, peers) is is_one


def test_equals_are_hardly_ever_told_apart() -> None:
    rng = Random(1)
    found = 0
    for _ in range(2_000):
        own, peer = (sum(rng.random() < 0.3 for _ in range(100)) for _ in range(2))
        found += outlying(100, own, [(100, peer)])
    assert found <= 1


@pytest.mark.parametrize(
    ("group", "out", "is_room"),
    [(2, 0, True), (2, 1, False), (3, 0, True), (3, 1, False), (4, 1, True), (4, 2, False), (1, 0, False)],
)
def test_the_cap(group: int, out: int, is_room: bool) -> None:
    assert room(group, out) is is_room


def test_longer_each_time_and_short_again_after_a_good_while() -> None:
    ejection, now, stays = Ejection(), 1_000_000, []
    assert ejection.left_ms(now) == 0
    for _ in range(8):
        ejection.eject(now)
        stays.append(ejection.left_ms(now))
        now += stays[-1]
        assert ejection.left_ms(now) == 0
    assert stays == [BASE_MS * n for n in range(1, 7)] + [LONGEST_MS, LONGEST_MS]
    ejection.eject(now + 10 * BASE_MS)
    assert ejection.left_ms(now + 10 * BASE_MS) == BASE_MS
