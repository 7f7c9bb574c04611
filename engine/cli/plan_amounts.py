"""What budgets have counted by now, for `engine plan --against`: read from the workspace's state store."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from engine.cli.output import message

if TYPE_CHECKING:
    from engine.control.counts import Counts
    from engine.plan.fate_names import Names
    from engine.plan.plan import Plan

_MOST: Final = 100


def amounts(old: Plan, new: Plan, names: Names, state: str, root: Path) -> list[str]:
    """What becomes of them when `new` replaces `old`, a line a budget. Empty where a sidecar's memory alone
    would know; a store that cannot be read is told on stderr.
    """
    # Deferred: who compares plans without budgets opens no store.
    from engine.control.counts import lines
    from engine.state.store_fault import StoreFault

    kind, _, place = state.partition(":")
    if kind == "memory" or (kind == "sqlite" and not (root / Path(place).expanduser()).is_file()):
        return []
    try:
        counts = asyncio.run(_counted(old, state, root))
    except (StoreFault, OSError) as error:
        message(f"what budgets have counted cannot be read: {error}")
        return []
    return lines(old.money(), new.money(), names, counts, _MOST)


async def _counted(plan: Plan, state: str, root: Path) -> Counts:
    from engine.control.counts import counted
    from engine.state.open import open_ledger

    name = plan.manifest.settings.timezone
    ledger = await open_ledger(state, root)
    try:
        return await counted(ledger, plan.money(), int(time.time() * 1000), ZoneInfo(name) if name else UTC)
    finally:
        await ledger.close()
