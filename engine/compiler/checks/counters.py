"""Where counts of budgets are kept: how far that lets them be overspent, and whose counts carry over."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.overspend import counting, overspend
from engine.diagnostics import Related


def check(subject: Subject) -> None:
    where, document = counting(subject.settings), subject.document
    for name, budget in sorted(subject.lowered.money.budgets.items()):
        bound = overspend(budget, where)
        if bound.amount:
            subject.out.add(
                "N286",
                f"the budget `{name}` may be overspent: {bound.words}",
                document.key_span(("budgets", name)),
                help="`state: sqlite:.engine/state.db` counts on one host, `state: redis://...` on several"
                if where.store != "redis"
                else "`on_state_loss: reject` overspends nothing",
            )
        if budget.was in subject.lowered.money.budgets:
            subject.out.add(
                "E285",
                f"`was: {budget.was}` names a budget that is still there, and keeps its counts",
                document.span(("budgets", name, "was")),
                help="remove it, or the other budget",
                related=[Related("it is here", document.key_span(("budgets", str(budget.was))))],
            )
