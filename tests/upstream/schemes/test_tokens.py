"""A lease: one fetch for all who wait, renewed ahead, and failures that do not outlive their cause."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.tokens import FAILED_S, FETCH_S, RENEW_PAUSE_S, YOUNG_S, Fetched, Lease
from engine.upstream.secrets import SecretMissing


class Desk:
    """Gives numbered tokens of a given life, when it is let."""

    def __init__(self, life: float = 3600.0) -> None:
        self.now = 1000.0
        self.life = life
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None
        self.lease = Lease(self.fetch, "gpt", lambda: self.now)

    async def fetch(self) -> Fetched[str]:
        self.asked += 1
        number = self.asked
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return Fetched(f"token-{number}", self.now + self.life)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_fifty_callers_cause_one_fetch() -> None:
    desk = Desk()
    desk.open.clear()
    callers = [asyncio.create_task(desk.lease.get()) for _ in range(50)]
    await settled()
    desk.open.set()
    assert set(await asyncio.gather(*callers)) == {"token-1"}
    assert desk.asked == 1
    assert desk.lease.fresh()


async def test_fifty_callers_share_a_failure_and_knock_again_after_a_second() -> None:
    desk = Desk()
    desk.fault = AuthFailed("connect", "no connection")
    found = await asyncio.gather(*(desk.lease.get() for _ in range(50)), return_exceptions=True)
    assert {(type(each), str(each)) for each in found} == {(AuthFailed, "no connection")}
    with pytest.raises(AuthFailed):
        await desk.lease.get()
    assert desk.asked == 1
    desk.now += FAILED_S
    desk.fault = None
    assert await desk.lease.get() == "token-2"


async def test_it_is_renewed_ahead_beside_the_calls() -> None:
    desk = Desk(life=3600)
    assert await desk.lease.get() == "token-1"
    desk.now += 3600 - 301
    assert desk.lease.fresh()
    await settled()
    assert desk.asked == 1
    desk.now += 2
    desk.open.clear()
    assert all(desk.lease.fresh() for _ in range(50))
    await settled()
    assert (desk.asked, desk.lease.value()) == (2, "token-1")
    desk.open.set()
    await settled()
    assert desk.lease.value() == "token-2"


async def test_a_renewal_that_fails_is_nobodys_failure(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(life=1000)
    await desk.lease.get()
    desk.fault = AuthFailed("server", "the token endpoint failed (500)")
    desk.now += 801
    with caplog.at_level(logging.WARNING):
        assert desk.lease.fresh()
        await settled()
    assert "the old one still serves" in caplog.text
    assert await desk.lease.get() == "token-1"
    assert desk.asked == 2, "it is not tried again at once"
    desk.now += RENEW_PAUSE_S
    assert desk.lease.fresh()
    await settled()
    assert desk.asked == 3
    desk.now = 2000 - 20  # the end is too near
    with pytest.raises(AuthFailed):
        await desk.lease.get()


async def test_a_caller_that_gives_up_ends_nobody_elses_wait() -> None:
    desk = Desk()
    desk.open.clear()
    first, second = (asyncio.create_task(desk.lease.get()) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    desk.open.set()
    assert await second == "token-1"
    assert first.cancelled()


async def test_a_refused_token_is_replaced_unless_it_is_new() -> None:
    desk = Desk()
    await desk.lease.get()
    desk.lease.refused()
    assert await desk.lease.get() == "token-1"
    desk.now += YOUNG_S
    desk.lease.refused()
    assert not desk.lease.fresh()
    assert await desk.lease.get() == "token-2"


async def test_a_token_without_life_serves_whoever_waited_for_it() -> None:
    desk = Desk(life=0)
    assert await desk.lease.get() == "token-1"
    assert await desk.lease.get() == "token-2"


async def test_a_missing_secret_and_a_fault_of_ours_are_told(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.fault = SecretMissing("the environment variable K is not set")
    with pytest.raises(SecretMissing, match="K is not set"):
        await desk.lease.get()
    desk.now += FAILED_S
    desk.fault = ZeroDivisionError("canary")
    with pytest.raises(AuthFailed, match="broke") as found:
        await desk.lease.get()
    assert found.value.failure == "server"
    assert "canary" not in caplog.text


async def test_a_fetch_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.upstream.schemes.tokens.FETCH_S", 0.01)
    desk = Desk()
    desk.open.clear()
    with pytest.raises(AuthFailed) as found:
        await desk.lease.get()
    assert found.value.failure == "timeout"
    assert FETCH_S > 1


async def test_closing_ends_the_fetch_and_its_waiters() -> None:
    desk = Desk()
    desk.open.clear()
    caller = asyncio.create_task(desk.lease.get())
    await settled()
    await desk.lease.close()
    with pytest.raises(AuthFailed, match="closed"):
        await caller


def test_a_token_is_not_printed() -> None:
    assert "canary" not in repr(Fetched("canary", 1.0))
