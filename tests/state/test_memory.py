"""The memory store: leases, what is known of deployments."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.state.memory import FAILURE_MS, MemoryState
from engine.state.protocol import Hold, Spent


def hold(attempt: int = 1, *, deployment: str = "d", request: str = "r") -> Hold:
    return Hold(request, attempt, deployment, cost=100, tokens=10)


SPENT = Spent({"output_tokens": 3}, cost=40, estimated=False)


def lease_of(state: MemoryState, **which: object) -> int:
    lease = state.reserve(hold(**which), 0).lease  # type: ignore[arg-type]
    assert lease is not None
    return lease


def test_reserve_is_idempotent() -> None:
    state = MemoryState()
    first = lease_of(state, attempt=1)
    assert lease_of(state, attempt=1) == first
    assert lease_of(state, attempt=2) != first
    assert state.open_leases() == 2
    assert state.in_flight("d") == 2


@pytest.mark.parametrize("order", ["settle settle", "settle release", "release settle", "release release"])
def test_the_first_end_counts(order: str) -> None:
    state = MemoryState()
    lease = lease_of(state)
    for how in order.split():
        if how == "settle":
            state.settle(lease, SPENT, 0)
        else:
            state.release(lease, 0)
    assert state.open_leases() == 0
    assert state.in_flight("d") == 0
    assert state.seen("d").held == 0
    assert state.seen("d").spent == (40 if order.startswith("settle") else 0)
    assert (state.audit.settled, state.audit.released) == ((1, 0) if order.startswith("settle") else (0, 1))


def test_a_lease_that_never_was() -> None:
    with pytest.raises(AssertionError, match="never granted"):
        MemoryState().release(1, 0)


def test_what_is_held_is_counted() -> None:
    state = MemoryState()
    lease_of(state, attempt=1)
    lease_of(state, attempt=2)
    assert state.seen("d").held == 200


def test_latency() -> None:
    state = MemoryState()
    assert math.isnan(state.latency("d", 0))
    state.observe("d", True, 250.0, 0)
    assert state.latency("d", 0) == 250
    state.observe("d", True, None, 0)
    assert state.latency("d", 0) == 250


def test_failing_fast_is_not_being_quick() -> None:
    state = MemoryState()
    state.observe("d", False, None, 0)
    assert state.latency("d", 0) == FAILURE_MS
    assert (state.seen("d").calls, state.seen("d").failures) == (1, 1)


def test_counters() -> None:
    state = MemoryState()
    assert [state.next("a"), state.next("a"), state.next("b"), state.next("a")] == [0, 1, 0, 2]


def test_unknown_deployments_are_idle() -> None:
    assert MemoryState().in_flight("nobody") == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "release"]), st.integers(1, 5), st.sampled_from("ab")),
    max_size=60,
)


@given(STEPS)
def test_the_books_balance_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    state = MemoryState()
    leases: dict[tuple[int, str], int] = {}
    for what, attempt, name in steps:
        if what == "reserve":
            granted = state.reserve(hold(attempt, deployment=name, request=name), 0)
            if granted.lease is not None:
                leases[attempt, name] = granted.lease
        elif (attempt, name) in leases:
            if what == "settle":
                state.settle(leases[attempt, name], SPENT, 0)
            else:
                state.release(leases[attempt, name], 0)
        audit = state.audit
        assert audit.granted == audit.settled + audit.released + state.open_leases()
        assert state.in_flight("a") + state.in_flight("b") == state.open_leases()
