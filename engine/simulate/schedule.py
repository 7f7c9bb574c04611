"""What a seed means: how vendors live, who asks when and how, and when the plan and the wall clock change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from engine.simulate.client import PATHS, Client, Habits
from engine.simulate.vendor import FAULTS, Life, Spell

#: Virtual seconds in which clients come. What they began is awaited after it.
LENGTH_S: Final = 150.0

_FEW, _MANY = 8, 40


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens in one run but for the chances inside a call. Times in seconds.

    reloads: (when, which plan). jumps: (when, by how many seconds the wall clock is set).
    """

    seed: int
    lives: dict[str, Life]
    arrivals: tuple[tuple[float, Client], ...]
    reloads: tuple[tuple[float, int], ...]
    jumps: tuple[tuple[float, float], ...]


def schedule(
    seed: int, models: Sequence[str], routes: Sequence[str], plans: int, counted: Sequence[str] = ()
) -> Schedule:
    """The schedule of a seed.

    Args:
        seed: all chance comes from it.
        models: of the vendors.
        routes: what clients may ask for.
        plans: how many there are to reload.
        counted: routes with budgets and limits. Every other seed is about these: most of its clients ask for
            them. (The others know nothing of them, so that a seed of old is the run that it was.)
    """
    rng = Random(f"schedule {seed}")
    times = sorted(rng.uniform(0, LENGTH_S) for _ in range(rng.randint(_FEW, _MANY)))
    if rng.random() < 0.3:  # a crowd: they come all at once
        crowd = rng.uniform(0, LENGTH_S)
        times = sorted([*times[::2], *(crowd + rng.random() for _ in times[1::2])])
    lives = {model: Life(_spells(rng), prefill=not model.endswith(("near-3", "far-2"))) for model in models}
    clients = [_client(rng, number, routes) for number in range(len(times))]
    if counted and seed % 2:
        money = Random(f"money {seed}")
        for client in clients:
            if money.random() < 0.7:
                client.model = money.choice(counted)
    return Schedule(
        seed,
        lives,
        tuple(zip(times, clients, strict=True)),
        tuple(sorted((rng.uniform(0, LENGTH_S), rng.randrange(plans)) for _ in range(rng.randint(0, 3)))),
        tuple(
            sorted(
                (rng.uniform(0, LENGTH_S), rng.choice((-7200.0, -1.0, 3600.0, 86_400.0)))
                for _ in range(rng.choice((0, 0, 1, 2)))
            )
        ),
    )


def _spells(rng: Random) -> tuple[Spell, ...]:
    """A vendor's life: mostly good, sometimes shaky, sometimes down with one and the same fault."""
    spells: list[Spell] = []
    at = 0.0
    while at < LENGTH_S:
        at += rng.uniform(5, 60)
        mood = rng.random()
        if mood < 0.4:
            spells.append(Spell(at, 0.0))
        elif mood < 0.75:
            spells.append(Spell(at, rng.uniform(0.1, 0.6)))
        else:
            fault = rng.choices(list(FAULTS), list(FAULTS.values()))[0]
            spells.append(Spell(at, rng.choice((0.5, 1.0)), fault))
    return tuple(spells)


def _client(rng: Random, number: int, routes: Sequence[str]) -> Client:
    habits = Habits(
        dialect=rng.choice(list(PATHS)),
        stream=rng.random() < 0.7,
        leaves=rng.choice((rng.uniform(0, 2), rng.uniform(0, 15))) if rng.random() < 0.2 else None,
        pause=rng.uniform(0.01, 0.5) if rng.random() < 0.1 else 0.0,
        deadline_ms=rng.choice((1, 500, 3_000, 20_000)) if rng.random() < 0.15 else None,
    )
    question = f"question {rng.randrange(12)}"
    return Client(number, rng.choice(routes), question, habits)
