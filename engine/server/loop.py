"""The event loop of the sidecar: uvloop where it is installed, asyncio's own elsewhere (Windows)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: After so long a thread that has work gets its turn, and the loop gets its own back: Python's 5 ms, at each
#: of the many places where a thread that reads files lets go, would make a look at a workspace take 100 ms.
_SWITCH_S: Final = 0.001


def run_on_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own."""
    sys.setswitchinterval(_SWITCH_S)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
