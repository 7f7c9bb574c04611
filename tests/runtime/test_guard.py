"""Limits over a stretch of awaiting, and the virtual clock that tests them."""

from __future__ import annotations

import asyncio

import pytest

from engine.runtime.clock import Clock, SystemClock, VirtualClock
from engine.runtime.guard import Guard, LimitReached


@pytest.mark.parametrize("make", [VirtualClock, SystemClock])
async def test_a_limit_ends_the_wait(make: type[VirtualClock | SystemClock]) -> None:
    clock: Clock = make()
    guard = Guard(clock)
    begun = clock.now_ms()
    guard.limit(begun + 20, "idle")
    with pytest.raises(LimitReached, match="idle"), guard:
        await asyncio.Event().wait()
    assert clock.now_ms() - begun >= 19
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_ends_in_time() -> None:
    clock = VirtualClock()
    guard = Guard(clock)
    guard.limit(100, "total")
    with guard:
        await clock.sleep(99)
    guard.close()
    await clock.sleep(1_000)


async def test_moving_the_limit_away() -> None:
    clock = VirtualClock()
    guard = Guard(clock)
    for _ in range(5):
        guard.limit(clock.now_ms() + 100, "idle")
        with guard:
            await clock.sleep(90)
    assert clock.now_ms() == 450


async def test_moving_it_nearer() -> None:
    clock = VirtualClock()
    guard = Guard(clock)
    guard.limit(1_000, "total")

    async def wait() -> None:
        with guard:
            guard.limit(50, "idle")
            await asyncio.Event().wait()

    with pytest.raises(LimitReached, match="idle"):
        await wait()
    assert clock.now_ms() == 50


async def test_no_limit_runs_between_two_waits() -> None:
    clock = VirtualClock()
    guard = Guard(clock)
    guard.limit(100, "idle")
    with guard:
        await clock.sleep(10)
    await clock.sleep(1_000)
    guard.limit(clock.now_ms() + 100, "idle")
    with guard:
        await clock.sleep(50)


async def test_somebody_elses_cancel_stays_theirs() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        guard = Guard(clock)
        guard.limit(10_000, "total")
        with guard:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_limit_needs_a_task() -> None:
    with pytest.raises(RuntimeError), Guard(SystemClock()):
        pass


async def test_virtual_time_moves_in_order() -> None:
    clock = VirtualClock(wall=1_000)
    order: list[str] = []

    async def wait(name: str, ms: float) -> None:
        await clock.sleep(ms)
        order.append(f"{name}@{clock.now_ms():.0f}")

    await asyncio.gather(wait("c", 300), wait("a", 100), wait("b", 100))
    assert order == ["a@100", "b@100", "c@300"]
    assert clock.wall() == pytest.approx(1_000.3)


async def test_virtual_time_by_hand() -> None:
    clock = VirtualClock()
    fired: list[float] = []
    clock.timer(50, lambda: fired.append(clock.now_ms()))
    clock.timer(60, lambda: fired.append(clock.now_ms())).cancel()
    clock.advance(49)
    assert fired == []
    clock.advance(100)
    assert fired == [50]
    assert clock.now_ms() == 149


async def test_system_clock() -> None:
    clock = SystemClock()
    before = clock.now_ms()
    await clock.sleep(5)
    assert clock.now_ms() >= before + 4
    assert clock.wall() > 1_600_000_000
