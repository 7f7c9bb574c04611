"""`budgets:` how much may be spent."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from engine.spec.amounts import Quota, Ratio, Window
from engine.spec.containers import Some
from engine.spec.defaults import PRINTED
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import AlertName, Name, Target
from engine.units import show_ratio


class BudgetStep(Spec):
    """What happens at a share of the budget."""

    noun: ClassVar[str] = "budget step"

    at: Ratio = about(
        "Share of the limit; below 100% spent plus reserved counts.", required=True, examples=["80%"]
    )
    alert: AlertName | None = about("Who is told.")
    use: Target | None = about("Where requests go from here on. Guards, residency and limits stay.")

    @model_validator(mode="after")
    def _within(self) -> Self:
        if not 0 < self.at <= 1:
            why = "beyond 100% there is nothing to spend" if self.at else "at 0% nothing is spent yet"
            raise fault("E113", why, "write a share above 0% and up to 100%", at=("at",))
        return self

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.alert is None and self.use is None:
            raise fault("E107", "the step does nothing", "give it `alert` or `use`")
        return self


class Budget(Spec):
    """Money or tokens in a time. The worst case of a call is reserved before it and given back after it."""

    noun: ClassVar[str] = "budget"

    limit: Quota = about("How much: US dollars or tokens.", required=True, examples=["$500", "2M tokens"])
    window: Window = about(
        "Over which time: a calendar unit in the workspace's time zone, a fixed length counted from "
        "1970-01-01 UTC, or the last so long.",
        required=True,
        examples=["month", "every 6h", "rolling 24h"],
    )
    per: Expression | None = about(
        "One budget for each value of this.", shown="one for all", examples=["key.tags.team"]
    )
    steps: Some[BudgetStep] | None = about("What happens on the way.", shown="at 100% it rejects")
    missing: Literal["reject", "share"] | None = about(
        "For requests without a value of `per`: rejected, or all in one shared budget.", shown="reject"
    )
    was: Name | None = about("The budget's old name: what was spent carries over.")
    on_state_loss: Literal["reject", "local_share"] = about(
        "While a shared state store cannot be asked: rejected, or each process goes on with a share of the "
        "limit.",
        default="reject",
        shown=PRINTED["budget.on_state_loss"],
    )
    share: Ratio | None = about(
        "That share, of `local_share`.", shown=PRINTED["budget.share"], examples=["5%"]
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        steps = self.steps or ()
        for index in range(1, len(steps)):
            if steps[index].at <= steps[index - 1].at:
                told = f"this step comes after one at {show_ratio(steps[index - 1].at)}: steps rise"
                raise fault("E113", told, "order them by `at`, each share once", at=("steps", index, "at"))
        if self.missing is not None and self.per is None:
            raise fault("E113", "`missing` does nothing without `per`", "remove it", at=("missing",))
        if self.share is not None and self.on_state_loss != "local_share":
            advice = "remove it, or write `on_state_loss: local_share`"
            raise fault("E113", "`share` does nothing without `local_share`", advice, at=("share",))
        return self
