"""Where a request counts in a budget: the value of its `per`.

What the engine asks by itself (probes) has no client key: it counts together, whatever `missing` says.
"""

from __future__ import annotations

from typing import Any

from engine.runtime.place import Place
from engine.runtime.run import Run
from engine.runtime.shortfall import no_partition
from engine.runtime.terms import BudgetTerm
from engine.state.ledger_accounts import short


def partition(run: Run, term: BudgetTerm) -> str:
    """Where the request counts. Raises NotAdmitted where it has nothing to count by."""
    found = value(run, term)
    if not found and term.per is not None and term.budget.missing == "reject" and run.role != "probe":
        assert term.budget.per is not None
        raise no_partition(term.budget.name, term.budget.per.source)
    return found


def value(run: Run, term: BudgetTerm) -> str:
    """Of `per`; "" where there is none."""
    if term.per is None or term.placed:
        return ""
    return short(str(term.per(run.view, run.inbound.key, run.clock, run.labels)))


def placed_partition(run: Run, term: BudgetTerm, place: Place) -> str | None:
    """The same of a `per` that reads the deployment; None: it has none, and must have one."""
    assert term.per is not None
    found = short(str(term.per(run.view, run.inbound.key, run.clock, run.labels, _view(place))))
    return None if not found and term.budget.missing == "reject" and run.role != "probe" else found


def _view(place: Place) -> dict[str, Any]:
    """`deployment.*` of a budget's `per`."""
    deployment = place.deployment
    return {
        "name": deployment.name,
        "provider": deployment.provider,
        "model": deployment.model,
        "region": deployment.region,
        "residency": deployment.residency,
    }
