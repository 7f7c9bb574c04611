"""Runs seeds: the same seed is the same run, down to the digest of its log."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from engine.simulate import loop as virtual
from engine.simulate.client import Client
from engine.simulate.invariants import broken
from engine.simulate.loop import LoopClock, VirtualLoop
from engine.simulate.schedule import Schedule, schedule
from engine.simulate.vendor import Vendors
from engine.simulate.world import World, plans

#: Nothing that was begun lasts so long: every request has a limit.
HANG_S = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """One seed's run. `broken`: the promises that were not kept. `digest`: of its log."""

    seed: int
    broken: tuple[str, ...]
    digest: str
    log: tuple[str, ...]
    virtual_s: float
    requests: int
    calls: int
    faults: dict[str, int] = field(default_factory=dict)


def run(seed: int) -> Run:
    """Simulate one seed."""
    return virtual.run(lambda loop: _simulate(loop, seed))


def run_many(seeds: Iterable[int], told: Callable[[Run], None] = lambda run: None) -> tuple[list[Run], float]:
    """Simulate seeds one after the other: those that broke a promise, and virtual seconds a second."""
    began, passed = time.perf_counter(), 0.0
    bad = []
    for seed in seeds:
        done = run(seed)
        passed += done.virtual_s
        if done.broken:
            bad.append(done)
        told(done)
    return bad, passed / (time.perf_counter() - began)


async def _simulate(loop: VirtualLoop, seed: int) -> Run:
    made = plans()
    names = sorted(made[0].manifest.routes)
    counted = [name for name in names if made[0].route(name).budgets or made[0].route(name).limits]
    routes = [name for name in names if name not in counted]
    models = sorted({made[0].deployment(name).wire_model for name in made[0].manifest.deployments})
    planned = schedule(seed, models, routes, len(made), counted)
    faults: list[str] = []
    loop.set_exception_handler(lambda _, context: faults.append(f"on the loop: {_told(context)}"))
    clock = LoopClock(loop)
    world = World(Vendors(planned.lives, Random(f"vendors {seed}")), clock, Random(f"engine {seed}"))
    await world.publish(made[0])
    clients = [client for _, client in planned.arrivals]
    tasks = _begin(loop, world, planned)
    _, late = await asyncio.wait(tasks, timeout=HANG_S)
    faults += [f"{task.get_name()} does not end" for task in late]
    faults += [f"{task.get_name()}: {fate}" for task in tasks - late if (fate := _fate(task))]
    try:
        async with asyncio.timeout(HANG_S):
            await world.close()
    except TimeoutError:
        faults.append("the last plan is never let go")
    await asyncio.sleep(1)  # what is closed in the background is closed now
    found = faults + broken(world, clients)
    log = _log(world, clients)
    return Run(
        seed,
        tuple(found),
        hashlib.sha256("\n".join([*log, *found]).encode()).hexdigest(),
        log,
        loop.time(),
        len(clients),
        len(world.vendors.calls),
        dict(world.vendors.faults),
    )


def _begin(loop: VirtualLoop, world: World, planned: Schedule) -> set[asyncio.Task[Any]]:
    """Everything that the schedule holds, each at its time."""

    async def at(when: float, act: Callable[[], Any]) -> None:
        await asyncio.sleep(when)
        done = act()
        if asyncio.iscoroutine(done):
            await done

    def jump(seconds: float) -> None:
        world.clock.offset += seconds

    acts: list[tuple[str, float, Callable[[], Any]]] = []
    for when, client in planned.arrivals:
        acts.append((f"client {client.number}", when, partial(client.ask, world.app)))
    for when, which in planned.reloads:
        acts.append((f"reload {which}", when, partial(world.publish, plans()[which])))
    for when, seconds in planned.jumps:
        acts.append((f"jump {seconds}", when, partial(jump, seconds)))
    return {loop.create_task(at(when, act), name=name) for name, when, act in acts}


def _fate(task: asyncio.Task[Any]) -> str | None:
    """How a task ended, where that was not well."""
    if task.cancelled():
        return "was cancelled"
    return repr(error) if (error := task.exception()) else None


def _log(world: World, clients: list[Client]) -> tuple[str, ...]:
    """What happened, without what is different each time (ids)."""
    lines = [
        f"{call.at:.6f} call {call.model} {call.fault or 'fine'} {call.question}"
        for call in world.vendors.calls
    ]
    for client in clients:
        heard = client.heard()
        lines.append(
            f"{client.began:.6f}-{client.ended or -1:.6f} client {client.number} {client.model} "
            f"{client.status} {heard.error} {heard.finished} {heard.text}"
        )
    lines += [
        f"record {record.route} {record.revision[:8]} {record.failure} {record.cost} "
        + " ".join(f"{a.deployment}:{a.failure}:{a.started_ms:.3f}" for a in record.attempts)
        for record in world.records
    ]
    return tuple(lines)


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']} {error!r}" if error else str(context["message"])


logging.getLogger("engine").addHandler(logging.NullHandler())
