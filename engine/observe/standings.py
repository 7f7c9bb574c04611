"""How a budget or limit stands, as it is told: to operators as JSON, to people as a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal

from engine.plan.money import Measure
from engine.state.ledger import Account, Standing
from engine.units import show_duration, show_money, show_ratio

NANOS: Final = 10**9

Kind = Literal["budget", "limit"]


def named(account: Account) -> tuple[str, str, str | None, str]:
    """Of an account: `budget` or `limit`, its name, a budget's window, the partition."""
    kind, name, place, partition = account.key.split("/", 3)
    window = place.partition(":")[0]  # what follows tells ways of counting apart
    return kind, name, window if kind == "budget" else None, partition


def window_shown(window: str, zone: tzinfo = UTC) -> str:
    """A window by its name in the ledger, as told: `2026-12`, `every 6h from 2026-12-01T12:00:00+00:00`."""
    kind, _, rest = window.partition("-")
    if kind == "rolling":
        return f"rolling {show_duration(int(rest))}"
    if kind == "every":
        ms, number = (int(part) for part in rest.split("-"))
        return f"every {show_duration(ms)} from {moment(ms * number, 0, zone)}"
    return window


def amount(measure: Measure, number: int) -> float | int:
    """Of money in dollars, of all else as it is counted."""
    return number / NANOS if measure == "cost" else number


def shown(measure: Measure, number: int) -> str:
    """For people: `$12.50`, `1,200 tokens`."""
    if measure != "cost":
        return f"{number:,} {'open requests' if measure == 'concurrent' else measure}"
    exact = show_money(number)
    return exact if number < NANOS // 100 else f"${number / NANOS:,.2f}"


def moment(now_ms: int, after_ms: int | None, zone: tzinfo = UTC) -> str | None:
    """RFC 3339 of so long after now; None for never."""
    if after_ms is None:
        return None
    return datetime.fromtimestamp((now_ms + after_ms) / 1000, zone).isoformat(timespec="seconds")


def as_json(account: Account, standing: Standing, now_ms: int, zone: tzinfo = UTC) -> dict[str, Any]:
    """All of it. Money in dollars; `used` is the share of the limit that is spent or held."""
    kind, name, window, partition = named(account)
    measure = account.measure
    return {
        "kind": kind,
        "name": name,
        "partition": partition,
        **({} if window is None else {"window": window_shown(window, zone)}),
        "measure": measure,
        **{
            each: amount(measure, getattr(standing, each))
            for each in ("limit", "spent", "held", "lost", "left")
        },
        "used": round(share(standing), 6),
        "resets_at": moment(now_ms, standing.resets_ms, zone),
    }


def share(standing: Standing) -> float:
    """Of the limit that is spent or held; above 1 where more was used than was held for it."""
    return standing.used / standing.limit if standing.limit else float(standing.used > 0)


def sentence(account_name: str, partition: str, measure: Measure, standing: Standing) -> str:
    """`budget support-month of "red" is at 83%: $415.00 spent and $2.10 held of $500.00`."""
    whose = f' of "{partition}"' if partition else ""
    held = f" and {shown(measure, standing.held)} held" if standing.held else ""
    used = show_ratio(round(share(standing), 3))
    return (
        f"budget {account_name}{whose} is at {used}: {shown(measure, standing.spent)} spent{held} "
        f"of {shown(measure, standing.limit)}"
    )
