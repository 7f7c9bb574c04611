"""The budgets of a plan for people: how much over which time, for whom, and how far one can be overspent."""

from __future__ import annotations

from collections.abc import Iterator

from engine import units
from engine.compiler.overspend import Counting, overspend
from engine.compiler.overspend import show as show_amount
from engine.plan.fate_counters import show_window
from engine.plan.money import Budget
from engine.plan.plan import Plan


def show(plan: Plan, where: Counting) -> list[str]:
    """One text for all of them; none where there are none."""
    budgets = plan.money().budgets
    lines = [line for name in sorted(budgets) for line in _budget(budgets[name], where)]
    return ["\n".join(["budgets", *lines])] if lines else []


def _budget(budget: Budget, where: Counting) -> Iterator[str]:
    per = "" if budget.per is None else f" for each {budget.per.source}"
    yield f"  {budget.name}: {show_amount(budget.limit, budget)} {_window(budget)}{per}"
    for step in budget.steps:
        does = [f"alert {step.alert}"] if step.alert is not None else []
        does += [f"use {step.use}"] if step.use is not None else []
        yield f"    at {units.show_ratio(step.at)}: {', '.join(does)}"
    yield f"    overspend: {overspend(budget, where).words}"


def _window(budget: Budget) -> str:
    window = budget.window
    if window.kind == "rolling":
        return f"in the last {units.show_duration(window.ms or 0)}"
    return show_window(window) if window.kind == "every" else f"a {window.kind}"
