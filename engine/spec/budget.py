"""`budgets:` and `limits:` how much may be spent, and how fast."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Tag, model_validator

from engine.spec.amounts import Duration, Money, Rate, Ratio, Window
from engine.spec.containers import Some
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import AlertName, Name, Target
from engine.spec.plain import Positive


class BudgetStep(Spec):
    """What happens at a share of the budget."""

    noun: ClassVar[str] = "budget step"

    at: Ratio = about(
        "Share of the limit; below 100% spent plus reserved counts.", required=True, examples=["80%"]
    )
    alert: AlertName | None = about("Who is told.")
    use: Target | None = about("Where requests go from here on. Guards, residency and limits stay.")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.alert is None and self.use is None:
            raise fault("E107", "the step does nothing", "give it `alert` or `use`")
        return self


class Budget(Spec):
    """Money in a time. The worst case is reserved before a call and given back after it."""

    noun: ClassVar[str] = "budget"

    limit: Money = about("How much.", required=True, examples=["$500"])
    window: Window = about(
        "Over which time: a calendar unit in the workspace's time zone, or a rolling time.",
        required=True,
        examples=["month"],
    )
    per: Expression | None = about(
        "One budget for each value of this.", shown="one for all", examples=["key.tags.team"]
    )
    steps: Some[BudgetStep] | None = about("What happens on the way.", shown="at 100% it rejects")
    missing: Literal["reject", "share"] | None = about(
        "For requests without a value of `per`: rejected, or all in one shared budget.", shown="reject"
    )
    was: Name | None = about("The budget's old name: what was spent carries over.")

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        steps = self.steps or ()
        for index in range(1, len(steps)):
            if steps[index].at <= steps[index - 1].at:
                raise fault(
                    "E113", "the steps of a budget rise", "order them by `at`", at=("steps", index, "at")
                )
        if self.missing is not None and self.per is None:
            raise fault("E113", "`missing` does nothing without `per`", "remove it", at=("missing",))
        return self


class Queue(Spec):
    """Waits for a place."""

    noun: ClassVar[str] = "queue"

    queue: Duration = about("How long at most.", required=True, examples=["2s"])


class Jump(Spec):
    """Goes elsewhere."""

    noun: ClassVar[str] = "jump"

    use: Target = about("Which node or deployment answers instead.", required=True)


def _exceed(value: Any) -> str | None:
    if isinstance(value, dict):
        return "form:use" if "use" in value else "form:queue"
    return "form:word"


OnExceed = Annotated[
    Annotated[Literal["reject"], Tag("form:word")]
    | Annotated[Queue, Tag("form:queue")]
    | Annotated[Jump, Tag("form:use")],
    Discriminator(_exceed),
]


class Limit(Spec):
    """How many requests or tokens in a time, or calls at once."""

    noun: ClassVar[str] = "limit"

    per: Expression | None = about(
        "One limit for each value of this.", shown="one for all", examples=["key.id"]
    )
    requests: Rate | None = about("Requests in a time.", examples=["100/min"])
    tokens: Rate | None = about("Tokens in a time, input and output.", examples=["200k/min"])
    concurrent: Positive | None = about("Requests open at a time.")
    on_exceed: OnExceed = about("What happens beyond it.", default="reject", shown="reject")
    scope: Literal["fleet", "host"] | None = about(
        "Counted over all hosts, or on each.", shown="fleet where the state store is shared, else host"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrent is None:
            raise fault("E107", "the limit limits nothing", "give it `requests`, `tokens` or `concurrent`")
        return self
