"""The collector, kept from looking at what stays: a look at a large plan would hold up every request.

What is frozen is never looked at again, and is still freed when nobody holds it any more. Only what is in a
cycle would stay for ever, so plans and what is bound of them have none (`tests/control/test_garbage.py`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.plan.plan import Plan
from engine.runtime.snapshot import Snapshot

#: From this many routes and deployments on a plan is frozen when it goes live.
LARGE: Final = 1_000

#: So many new objects are frozen at the end of `quiet`: a plan of some thousand routes.
MUCH: Final = 20_000

#: After so many routes were bound they are frozen: bound ones are some hundred objects each.
BOUND: Final = 200

_frozen_at = 0


def spare() -> None:
    """What is there now stays, so no collection need look at it again; and a request makes hundreds of
    objects that its end frees without one, so collections may be rarer than every other request. Full ones
    are rare: a thousand open streams are a hundred thousand objects to look at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 2, 200)
    if _look not in gc.callbacks:
        gc.callbacks.append(_look)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it nothing is collected: what is loaded there all stays, and every collection would look at it.
    At its end what was loaded is frozen, where it is much.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MUCH:
            gc.freeze()
        if was:
            gc.enable()


def plan_is_live(plan: Plan) -> None:
    """Freeze a large plan."""
    if len(plan.manifest.routes) + len(plan.manifest.deployments) >= LARGE:
        gc.freeze()


def _look(phase: str, told: dict[str, int]) -> None:
    """After a collection: what survived it is no garbage, and most of it are routes where many were bound."""
    global _frozen_at
    if phase == "stop" and told["generation"] > 0 and Snapshot.bindings - _frozen_at >= BOUND:
        _frozen_at = Snapshot.bindings
        gc.freeze()
