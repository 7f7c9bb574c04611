"""The price book of a plan for people: what each deployment costs, since when, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from engine import units
from engine.compiler.worst_cost import Unbounded, WorstCost, show_worst
from engine.kinds.outline import reached
from engine.plan.plan import Plan
from engine.plan.types import Deployment, Route
from engine.plan.vendors import Hours, PriceRow, PriceTier, ToolPrice
from engine.wire.pricing import KINDS

#: Kind of price -> its words.
_WORDS: Final = {kind: kind.replace("_", " ") for kind in KINDS} | {"cache_write_1h": "cache write for 1h"}
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def show(plan: Plan, names: Iterable[str]) -> str:
    """These deployments' rows, under the digest of the whole book."""
    lines = [f"price book {plan.manifest.prices[:12]}"]
    for name in names:
        deployment = plan.deployment(name)
        first, *more = _rows(plan, deployment)
        lines.append(f"  {name}: {first}")
        lines += [f"    {line}" for line in more]
        if deployment.facts.tools and not deployment.uncounted:
            lines.append(f"    tools: {_tools(deployment.facts.tools)}")
    return "\n".join(lines)


def worst(plan: Plan, route: Route) -> str:
    """`, $0.14`: what a request of the (linked) route can cost at most; nothing where nobody bounds that."""
    deployments = {name: plan.deployment(name) for name in reached(route.start)}
    try:
        own, *copies = WorstCost(route, deployments).paths()
    except Unbounded:
        return ""
    told = f", {show_worst(sum(call.cost for call in own))}"
    if copies:
        told += f", each copy {show_worst(max(sum(call.cost for call in copy) for copy in copies))}"
    return told


def _rows(plan: Plan, deployment: Deployment) -> Iterator[str]:
    rows = deployment.facts.prices
    if not rows:
        yield "unknown" + (", and nothing is reserved for its calls" if deployment.uncounted else "")
        return
    factor = plan.provider(deployment.provider).regions[deployment.region].price
    for row in rows:
        yield f"{_when(row)}{_price(row) or 'free'}{_source(row, deployment, factor)}"
        yield from (
            f"above {units.show_count(tier.above)} input tokens: {_price(tier)}" for tier in row.tiers
        )


def _tools(tools: Mapping[str, ToolPrice]) -> str:
    """What a use of each costs that the vendor runs; those that the client runs cost nothing."""
    return (
        ", ".join(
            f"{name} {units.show_money(price.use)}"
            + ("" if price.most is None else f", {units.show_count(price.most)} a call at most")
            for name, price in sorted(tools.items())
            if price.most != 0
        )
        or "run by the client"
    )


def _source(row: PriceRow, deployment: Deployment, factor: float) -> str:
    """Who says so, and what the region makes of it."""
    surcharge = f", {units.show_multiplier(factor)} in {deployment.region}" if factor != 1.0 else ""
    return f"  ({row.source or 'the provider file'}{surcharge})"


def _price(row: PriceRow | PriceTier) -> str:
    parts = [
        f"{_WORDS[kind]} {units.show_price(price)}"
        for kind in KINDS
        if (price := getattr(row, kind)) or (price == 0 and kind in ("input", "output") and _other(row))
    ]
    if isinstance(row, PriceRow):
        parts += [f"{units.show_money(row.request)} a call"] if row.request else []
        parts += [f"{units.show_money(row.second)} a second"] if row.second else []
    return ", ".join(parts)


def _other(row: PriceRow | PriceTier) -> bool:
    """Whether a token costs something: then those that cost nothing are told, too."""
    return any(getattr(row, kind) for kind in KINDS)


def _when(row: PriceRow) -> str:
    parts = [
        f"from {_day(row.since)}" if row.since is not None else "",
        f"until {_day(row.until)}" if row.until is not None else "",
        ", ".join(_hours(each) for each in row.hours),
    ]
    told = " ".join(part for part in parts if part)
    return f"{told}: " if told else ""


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _hours(hours: Hours) -> str:
    days = f"{' '.join(_DAYS[day - 1] for day in hours.days)} " if hours.days else ""
    return f"{days}{units.show_time_of_day(hours.start)} to {units.show_time_of_day(hours.end)} UTC"
