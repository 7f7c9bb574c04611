"""Long work on the event loop in slices: others get their turn every few milliseconds.

A thread would not do: what reads JSON and makes objects holds the interpreter's lock, and the loop waits for
it. So such work is a generator that yields wherever it may stop, and `run` gives the loop a turn there once
its slice is used up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

#: Seconds of work before the others get a turn. A step between two yields should take far less.
SLICE_S: Final = 0.002


async def run(steps: Iterable[object]) -> None:
    """Do all of the work, and give the loop a turn after it too: what comes next has a slice of its own."""
    until = time.perf_counter() + SLICE_S
    for _ in steps:
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_S
    await asyncio.sleep(0)
