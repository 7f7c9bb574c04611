"""Limits in words, as `engine plan` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.plan.money import Limit, Rate
from engine.plan.plan import Plan
from engine.units import show_count, show_duration, show_rate


def lines(plan: Plan, names: Iterable[str]) -> Iterator[str]:
    """One line for each limit that a route's requests count in."""
    limits = plan.money().limits
    for name in names:
        yield f"counts in {name}: {words(limits[name])}; beyond it, {_beyond(limits[name])}"


def quota(plan: Plan, names: Iterable[str]) -> Iterator[str]:
    """The same of a deployment, short."""
    limits = plan.money().limits
    return (f"counts in {name}: {words(limits[name])}" for name in names)


def wait_ms(plan: Plan, names: Iterable[str]) -> int:
    """How long a request may wait for room in all of them."""
    limits = plan.money().limits
    return max((limits[name].wait_ms for name in names), default=0)


def words(limit: Limit) -> str:
    """`100/min requests (20 at once), 20 requests at a time, for each key.id`."""
    parts = []
    for rate, noun in ((limit.requests, "requests"), (limit.tokens, "tokens")):
        if rate is not None:
            parts.append(f"{show_rate(rate.amount, rate.period_ms)} {noun}{_burst(rate)}")
    if limit.concurrent is not None:
        parts.append(f"{limit.concurrent} at a time")
    whose = "in all" if limit.per is None else f"for each {limit.per.source}"
    where = ", in each process" if limit.scope == "host" else ""
    return f"{', '.join(parts)}, {whose}{where}"


def _burst(rate: Rate) -> str:
    if rate.shape == "sliding":
        return " (sliding)"
    return "" if rate.burst == rate.amount else f" ({show_count(rate.burst)} at once)"


def _beyond(limit: Limit) -> str:
    if limit.use is not None:
        return f"to {limit.use}"
    if limit.wait_ms:
        return f"{limit.queue} wait up to {show_duration(limit.wait_ms)}, then 429"
    return "429"
