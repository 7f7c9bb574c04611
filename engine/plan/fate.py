"""What becomes of the state of deployments and routes when one plan replaces another.

State hangs on what it measures. Of a deployment that is the place behind its name: the provider, the address
and the model there. So latency, health and places taken

- survive where name and place are the same, whatever else of the deployment changes;
- move where the place is the same under another name;
- reset where the name is the same and the place another;
- begin and end with names that come and go.

A route's state (its retry budget) hangs on its name. Counts of budgets and limits: `fate_counters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.plan.fate_counters import counters
from engine.plan.fate_names import Names
from engine.plan.plan import Plan
from engine.plan.types import Deployment

#: So many names are looked at between two steps.
_STEP = 256

_Places = dict[tuple[str, str, str], list[str]]


def place(deployment: Deployment) -> tuple[str, str, str]:
    """The place that a deployment stands for, whatever its name."""
    return deployment.provider, deployment.base_url, deployment.wire_model


@dataclass(slots=True)
class Fate:
    """Of all state."""

    deployments: Names = field(default_factory=Names)
    routes: Names = field(default_factory=Names)
    budgets: Names = field(default_factory=Names)
    limits: Names = field(default_factory=Names)

    def as_json(self, most: int | None = None) -> dict[str, Any]:
        told = {"deployments": self.deployments.as_json(most), "routes": self.routes.as_json(most)}
        for name, names in (("budgets", self.budgets), ("limits", self.limits)):
            if names != _NONE:
                told[name] = names.as_json(most)
        return told


_NONE: Final = Names()


def fate(old: Plan, new: Plan) -> Fate:
    """What becomes of the state under `old` when `new` replaces it."""
    found = Fate()
    for _ in work_out(old, new, found):
        pass
    return found


def work_out(old: Plan, new: Plan, found: Fate) -> Iterator[None]:
    """The same in steps, into an empty `found`."""
    before, after = old.manifest.deployment_segments, new.manifest.deployment_segments
    names = found.deployments
    for count, (name, segment) in enumerate(after.items()):
        if name not in before:
            names.begins.append(name)
        elif segment == before[name] or place(old.deployment(name)) == place(new.deployment(name)):
            names.survive += 1
        else:
            names.resets.append(name)
        if count % _STEP == 0:
            yield
    names.ends = [name for name in before if name not in after]
    yield
    if names.begins and names.ends:
        yield from _moves(old, new, names)
    routes, were = found.routes, old.manifest.routes
    routes.begins = [name for name in new.manifest.routes if name not in were]
    routes.ends = [name for name in were if name not in new.manifest.routes]
    routes.survive = len(were) - len(routes.ends)
    yield
    counters(old.money(), new.money(), found.budgets, found.limits)


def _moves(old: Plan, new: Plan, names: Names) -> Iterator[None]:
    """Find the places that have another name now. Two deployments of one place do not tell which is which."""
    left: _Places = {}
    come: _Places = {}
    yield from _find(old, names.ends, left)
    yield from _find(new, names.begins, come)
    for where, new_names in come.items():
        old_names = left.get(where, [])
        if len(new_names) == len(old_names) == 1:
            names.moves[new_names[0]] = old_names[0]
    moved = set(names.moves.values())
    names.begins = [name for name in names.begins if name not in names.moves]
    names.ends = [name for name in names.ends if name not in moved]


def _find(plan: Plan, names: Iterable[str], found: _Places) -> Iterator[None]:
    for name in names:
        found.setdefault(place(plan.deployment(name)), []).append(name)
        yield
