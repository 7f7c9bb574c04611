"""`limits:` how many requests and tokens in a time, and how many requests at once."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Tag, model_validator

from engine.spec.amounts import Duration, Rate
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import Target
from engine.spec.plain import Positive


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
