"""Counters by hand: a window, the last while, a bucket, places; and a clock that jumps."""

from __future__ import annotations

import pytest

from engine.policies.accounts import Counter, PlacesCounter, Terms, WindowCounter
from engine.policies.bucket import BucketCounter
from engine.policies.rolling import RollingCounter

MINUTE = 60_000
T0 = 1_800_000_000_000


def used(counter: Counter, amount: int, at: int) -> bool:
    """Reserve and settle at once, where it fits."""
    if not counter.fits(amount, at):
        return False
    counter.take(amount, at)
    counter.close(amount, amount, at, at)
    return True


def test_a_window_counts_to_its_end() -> None:
    counter = WindowCounter(Terms(100, ends_ms=T0 + MINUTE))
    counter.take(60, T0)
    assert not counter.fits(41, T0)
    assert counter.fits(40, T0)
    counter.close(60, 25, T0, T0)
    assert (counter.spent(T0), counter.held, counter.left(T0)) == (25, 0, 75)
    assert counter.wait_ms(80, T0 + 1) == counter.resets_ms(T0 + 1) == MINUTE - 1
    assert counter.wait_ms(101, T0) is None
    counter.take(75, T0)
    counter.close(75, 90, T0, T0)  # more than was held
    assert (counter.spent(T0), counter.left(T0), counter.fits(1, T0)) == (115, 0, False)


def test_a_window_tells_apart_what_is_lost_until_it_is_found() -> None:
    counter = WindowCounter(Terms(100, ends_ms=T0 + MINUTE))
    counter.take(60, T0)
    counter.lose(60, T0, T0)
    assert (counter.spent(T0), counter.held, counter.lost) == (60, 0, 60)
    counter.find(60, 10, T0)
    assert (counter.spent(T0), counter.lost) == (10, 0)


def test_a_rolling_slot_counts_until_all_of_it_is_too_old() -> None:
    counter = RollingCounter(Terms(10, period_ms=MINUTE))
    assert used(counter, 6, T0 + 999)  # of a slot of a second that ends at T0 + 1000
    assert used(counter, 4, T0 + 30_000)
    assert not counter.fits(1, T0 + MINUTE + 999)
    assert counter.wait_ms(6, T0 + MINUTE) == counter.resets_ms(T0 + MINUTE) == 1_000
    assert counter.wait_ms(7, T0 + MINUTE) == 31_000
    assert counter.fits(6, T0 + MINUTE + 1_000)
    assert counter.spent(T0 + MINUTE + 1_000) == 4


def test_what_is_held_counts_from_its_settling_on_requests_from_their_start() -> None:
    money, requests = (
        RollingCounter(Terms(10, period_ms=MINUTE)),
        RollingCounter(Terms(10, period_ms=MINUTE), True),
    )
    for counter in (money, requests):
        counter.take(10, T0)
        assert not counter.fits(1, T0 + 59_999)
    assert not money.fits(1, T0 + 2 * MINUTE)
    assert requests.fits(10, T0 + 2 * MINUTE)
    money.close(10, 10, T0, T0 + 2 * MINUTE)
    assert not money.fits(1, T0 + 3 * MINUTE)


def test_a_request_that_is_given_back_was_none() -> None:
    for counter in (
        RollingCounter(Terms(1, period_ms=MINUTE), True),
        BucketCounter(Terms(1, period_ms=MINUTE, burst=1), True),
    ):
        counter.take(1, T0)
        assert not counter.fits(1, T0)
        counter.close(1, 0, T0, T0)
        assert counter.fits(1, T0)


def test_a_bucket_gives_its_burst_and_then_as_much_as_flows_back() -> None:
    counter = BucketCounter(Terms(60, period_ms=MINUTE, burst=10), at_start=True)
    assert [used(counter, 1, T0) for _ in range(11)] == [True] * 10 + [False]
    assert counter.wait_ms(1, T0) == 1_000
    assert counter.resets_ms(T0) == 10_000
    assert not counter.fits(1, T0 + 999)
    assert counter.fits(1, T0 + 1_000)
    assert counter.wait_ms(11, T0) is None
    given = sum(used(counter, 1, T0 + at) for at in range(0, 10 * MINUTE, 50))
    assert given == 599  # the last second of the ten minutes is not over


def test_a_bucket_gives_nothing_twice_for_what_is_given_back_late() -> None:
    counter = BucketCounter(Terms(60, period_ms=MINUTE, burst=10), at_start=True)
    counter.take(10, T0)
    assert counter.left(T0 + 10_000) == 10  # all has flowed back
    assert used(counter, 10, T0 + 10_000)
    counter.close(10, 0, T0, T0 + 10_000)
    assert counter.left(T0 + 10_000) == 0


def test_places_are_free_when_given_back() -> None:
    counter = PlacesCounter(Terms(2))
    counter.take(1, T0)
    counter.take(1, T0)
    assert not counter.fits(1, T0)
    assert counter.wait_ms(1, T0) is None
    counter.close(1, 1, T0, T0)
    assert counter.left(T0) == 1
    counter.lose(1, T0, T0)
    assert counter.left(T0) == 2
    assert counter.blank(T0)


FLOWING = [
    pytest.param(lambda: RollingCounter(Terms(60, period_ms=MINUTE)), id="rolling"),
    pytest.param(lambda: BucketCounter(Terms(60, period_ms=MINUTE, burst=60)), id="bucket"),
]


@pytest.mark.parametrize("make", FLOWING)
@pytest.mark.parametrize("back", [MINUTE, 60 * MINUTE, 365 * 24 * 60 * MINUTE])
def test_a_step_back_frees_nothing_and_blocks_for_no_longer_than_a_period(make, back: int) -> None:
    counter = make()
    assert used(counter, 60, T0)
    at = T0 - back
    assert not counter.fits(1, at)
    wait = counter.wait_ms(60, at)
    assert 0 < wait <= MINUTE + 1_000
    assert not counter.fits(60, at + wait - 1)
    assert counter.fits(60, at + wait)


@pytest.mark.parametrize("make", FLOWING)
def test_a_jump_forward_frees_one_window_at_most(make) -> None:
    counter = make()
    assert used(counter, 60, T0)
    ahead = T0 + 365 * 24 * 60 * MINUTE
    assert used(counter, 60, ahead)
    assert not counter.fits(1, ahead)
    assert not counter.fits(1, T0 + 1)  # and back


@pytest.mark.parametrize("make", FLOWING)
def test_two_readers_of_one_clock_out_of_turn_change_nothing(make) -> None:
    straight, crooked = make(), make()
    for step in range(0, 3 * MINUTE, 500):
        for counter, skew in ((straight, 0), (crooked, step // 500 % 2 * 900)):
            used(counter, 1, T0 + step - skew)
    assert abs(straight.spent(T0 + 3 * MINUTE) - crooked.spent(T0 + 3 * MINUTE)) <= 2


@pytest.mark.parametrize("make", FLOWING)
def test_what_is_kept_can_be_restored_under_other_terms(make) -> None:
    counter = make()
    used(counter, 30, T0)
    counter.take(7, T0)
    again, kept = make(), counter.kept()
    again.restore(kept)
    assert again.kept() == kept
    assert again.left(T0 + 1_000) == counter.left(T0 + 1_000)
    longer = make()
    longer.follow(Terms(60, period_ms=10 * MINUTE, burst=60))
    longer.restore(kept)
    assert longer.spent(T0) == 30
    assert longer.held == 7
    assert longer.spent(T0 + 2 * MINUTE) > 0 == longer.spent(T0 + 11 * MINUTE)
