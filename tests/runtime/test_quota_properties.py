"""Whatever comes, in whatever order, and however it ends: no limit lets more through than it says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.plan.money import Limit, Rate
from engine.plan.values import Expr
from engine.runtime.views import Key

Kit = Any

PERIOD = 6_000
PER_KEY = Expr(source="key.id", scope="route", type="string", ir=["a", ["p", 1], "id"])
#: Milliseconds that an answer takes; None: it fails.
TAKES = (0, 10, 700, 2_500, None)


@dataclass
class Came:
    """A request: after so long, of this key, which answer it gets, and when its client leaves."""

    gap: int
    key: str
    takes: int | None
    stream: bool
    leaves: int | None


CAME = st.builds(
    Came,
    st.sampled_from([0, 0, 0, 1, 50, 400, 1_000, 5_000]),
    st.sampled_from("xy"),
    st.sampled_from(TAKES),
    st.booleans(),
    st.sampled_from([None, None, None, 0, 5, 600]),
)
RATES = st.builds(
    lambda amount, burst, shape: Rate(amount, PERIOD, burst if shape == "bucket" else amount, shape),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(["bucket", "sliding"]),
)
LIMITS = st.builds(
    lambda rate, places, wait, per: Limit(
        "l",
        per=PER_KEY if per else None,
        requests=rate,
        concurrent=places,
        on_exceed="queue" if wait else "reject",
        wait_ms=wait,
        queue=5,
        told=True,
    ),
    RATES,
    st.integers(1, 4) | st.none(),
    st.sampled_from([0, 0, 300, 3_000]),
    st.booleans(),
)


@given(limit=LIMITS, came=st.lists(CAME, min_size=1, max_size=25))
@settings(max_examples=30, deadline=None)
def test_no_limit_lets_more_through(kit: Kit, limit: Limit, came: list[Came]) -> None:
    asyncio.run(_run(kit, limit, came))


async def _run(kit: Kit, limit: Limit, came: list[Came]) -> None:
    script = {
        "a": [kit.Say(first=each.takes) if each.takes is not None else kit.Fail("server") for each in came]
    }
    money = kit.Money(limits={"l": limit})
    b = kit.Bench(kit.use("a", retry_extra=0), script, money=money, limits=("l",))
    tasks = []
    for each in came:
        await b.clock.sleep(each.gap)
        tasks.append(asyncio.create_task(_ask(b, each)))
        await asyncio.sleep(0)
    ended = await asyncio.gather(*tasks)
    b.check()
    let_in = [(key, begun, over) for key, begun, over in ended if begun is not None]
    for key in {key for key, *_ in let_in}:
        mine = [(begun, over) for each, begun, over in let_in if limit.per is None or each == key]
        _check_rate(limit.requests, sorted(begun for begun, _ in mine))
        _check_places(limit.concurrent, mine)


async def _ask(b: Any, each: Came) -> tuple[str, float | None, float]:
    """(key, when it was let in, when it was over); None: it was not."""
    inbound = b.inbound(stream=each.stream)
    inbound.key = Key(id=each.key)
    task = asyncio.create_task(_read(b, inbound))
    timer = None if each.leaves is None else b.clock.timer(each.leaves, task.cancel)
    await asyncio.wait([task])
    if timer is not None:
        timer.cancel()
    record = next(record for record in b.records if record.id == inbound.request_id)
    over = b.clock.now_ms()
    called = record.attempts[0].started_ms if record.attempts else None
    return each.key, None if called is None else over - record.duration_ms + called, over


async def _read(b: Any, inbound: Any) -> None:
    try:
        answer = await b.run(inbound)
    except EngineError:
        return
    if answer.flow is not None:
        try:
            async for _ in answer.flow:
                pass
        finally:
            await answer.flow.close()


def _check_rate(rate: Rate, begun: list[float]) -> None:
    """Between any two moments: what flows in between, and what may come at once."""
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            passed, within = last - first + 1, begun[last] - begun[first]
            if rate.shape == "bucket":
                assert passed <= rate.burst + rate.amount * (within + 1) / rate.period_ms
            elif within < rate.period_ms:
                assert passed <= rate.amount


def _check_places(most: int | None, mine: list[tuple[float, float]]) -> None:
    for begun, _ in mine if most is not None else ():
        open_then = sum(start <= begun < over for start, over in mine)
        assert most is None or open_then <= most, mine
