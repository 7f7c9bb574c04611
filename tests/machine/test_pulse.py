"""A pulse counts what a loop waits for, and nothing of what it was kept from."""

from __future__ import annotations

import asyncio
import time

from pulse import Pulse


async def test_a_wait_is_counted_and_no_more_than_that() -> None:
    began = time.monotonic()
    async with Pulse() as pulse:
        while pulse.seconds < 0.05:
            await asyncio.sleep(0.001)
    assert time.monotonic() - began > 0.045


async def test_what_the_loop_was_kept_from_is_one_beat() -> None:
    async with Pulse() as pulse:
        time.sleep(0.1)  # stands for a machine that runs others
        await asyncio.sleep(0)
        assert pulse.seconds < 0.02
