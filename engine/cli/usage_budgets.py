"""How budgets stand, for `engine usage`: read from the workspace's state store, whoever writes it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final

from engine.cli.output import message, table
from engine.state.ledger import Account, Standing

#: Rows of a table for people; programs get `MOST`.
SHOWN: Final = 20
MOST: Final = 1_000


def budgets(state: str, root: Path, zone: tzinfo) -> list[dict[str, Any]]:
    """What is spent, held and left of each budget's partitions, those used most first.

    Empty where nothing is counted outside a sidecar's memory. A store that cannot be read is told on stderr.
    """
    from engine.observe.standings import as_json, named, share
    from engine.state.store_fault import StoreFault

    kind, _, place = state.partition(":")
    if kind == "memory" or (kind == "sqlite" and not (root / Path(place).expanduser()).is_file()):
        return []
    now = int(time.time() * 1000)
    try:
        rows = asyncio.run(_rows(state, root, now))
    except (StoreFault, OSError) as error:
        message(f"how budgets stand cannot be read: {error}")
        return []
    found = [row for row in rows if named(row[0])[0] == "budget"]
    first = heapq.nlargest(MOST, found, key=lambda row: share(row[1]))
    return [as_json(account, standing, now, zone) for account, standing in first]


async def _rows(state: str, root: Path, now_ms: int) -> list[tuple[Account, Standing]]:
    # Deferred: the store's own library is loaded where there is such a store.
    from engine.control.standings import read
    from engine.state.open import open_ledger

    ledger = await open_ledger(state, root)
    try:
        return list(await read(ledger, now_ms))
    finally:
        await ledger.close()


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """For people; what is lost of a budget stands below."""
    headers = ["BUDGET", "PARTITION", "WINDOW", "USED", "SPENT", "HELD", "LEFT", "LIMIT", "RESETS"]
    lines = [
        [
            row["name"],
            row["partition"] or "-",
            row["window"],
            f"{row['used']:.0%}",
            *(_amount(row["measure"], row[name]) for name in ("spent", "held", "left", "limit")),
            row["resets_at"] or "-",
        ]
        for row in rows[:SHOWN]
    ]
    text = table(lines, headers=headers)
    if len(rows) > SHOWN:
        text += f"\nand {len(rows) - SHOWN} more: --format json has them"
    lost = [row for row in rows if row["lost"]]
    if lost:
        text += "\nof what is spent, this is of calls whose process died before it could say what they cost:"
        for row in lost[:SHOWN]:
            text += f"\n  {row['name']} {row['partition']} {_amount(row['measure'], row['lost'])}"
    return text


def _amount(measure: str, number: float) -> str:
    if measure != "cost":
        return f"{number:,} {measure}"
    if 0 < number < 0.01:
        return f"${number:.9f}".rstrip("0")
    return f"${number:,.{4 if 0 < number < 1 else 2}f}"
