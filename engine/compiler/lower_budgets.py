"""`budgets:` as the plan holds them, their defaults applied."""

from __future__ import annotations

from engine import units
from engine.compiler.lower import Lowerer
from engine.plan.money import Budget, BudgetStep, Window
from engine.spec import budget as written
from engine.spec.defaults import LOCAL_SHARE


def lower_budgets(low: Lowerer) -> dict[str, Budget]:
    """Every budget of the workspace, by name."""
    return {name: _budget(low, name, spec) for name, spec in sorted(low.spec.budgets.items())}


def _budget(low: Lowerer, name: str, spec: written.Budget) -> Budget:
    local = spec.on_state_loss == "local_share"
    return Budget(
        name=name,
        measure=spec.limit.measure,
        limit=spec.limit.amount,
        window=window(spec.window),
        per=low.expressions.get(("budgets", name, "per")),
        missing=spec.missing or "reject",
        steps=tuple(BudgetStep(step.at, step.alert, step.use) for step in spec.steps or ()),
        was=spec.was,
        on_state_loss=spec.on_state_loss,
        share=(LOCAL_SHARE if spec.share is None else spec.share) if local else 0.0,
    )


def window(spec: units.Window) -> Window:
    """Over which time."""
    if spec.calendar is not None:
        return Window(spec.calendar)
    if spec.every_ms is not None:
        return Window("every", spec.every_ms)
    return Window("rolling", spec.rolling_ms)
