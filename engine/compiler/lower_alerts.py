"""`alerts:` as the plan holds them: those that a budget's step names."""

from __future__ import annotations

from engine.compiler.lower import Lowerer
from engine.plan.money import Alert


def lower_alerts(low: Lowerer) -> dict[str, Alert]:
    """Every alert that somebody is told by, by name."""
    steps = (step for budget in low.spec.budgets.values() for step in budget.steps or ())
    used = {step.alert for step in steps if step.alert is not None}
    return {
        name: Alert(name, spec.log, spec.webhook, spec.format or "json")
        for name, spec in sorted(low.spec.alerts.items())
        if name in used
    }
