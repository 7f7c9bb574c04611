"""`limits:` how many requests and tokens in a time, and how many requests at once."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.spec.amounts import PositiveCount, PositiveDuration, Rate, Ratio
from engine.spec.defaults import PRINTED
from engine.spec.expression import Expression
from engine.spec.fault import fault, shown
from engine.spec.model import Spec, about
from engine.spec.names import Target
from engine.spec.plain import Flag, Positive


class Throughput(Spec):
    """So many in a time. A bare rate such as `100/min` is its `rate`."""

    noun: ClassVar[str] = "throughput"

    rate: Rate = about("How many in a time.", required=True, examples=["100/min", "200k/min"])
    burst: PositiveCount | None = about(
        "How many may come at once, where nothing came for a while.",
        shown=PRINTED["limit.burst"],
        examples=[20],
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`requests: 100/min` is `requests: {rate: 100/min}`."""
        return value if isinstance(value, dict) else {"rate": value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        rate = {
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?[kM]?/(s|min|h|day)$",
            "description": "How many in a time: per s, min, h or day.",
            "examples": ["100/min", "200k/min"],
        }
        return {"anyOf": [rate, handler(schema)]}


class Queue(Spec):
    """Waits for room: the first come of a partition is the first let in."""

    noun: ClassVar[str] = "queue"

    queue: PositiveDuration = about(
        "How long at most, and never beyond the request's deadline.", required=True, examples=["2s"]
    )
    most: Positive | None = about(
        "How many may wait, of each partition and in each process.", shown=PRINTED["limit.queue.most"]
    )


class Jump(Spec):
    """Goes elsewhere."""

    noun: ClassVar[str] = "jump"

    use: Target = about("Which node or deployment answers instead.", required=True)


def _exceed(value: Any) -> str | None:
    if isinstance(value, dict):
        return "form:use" if "use" in value else "form:queue"
    return "form:word"


def _word(value: Any) -> Any:
    if value != "reject":
        said = "reject, `{queue: 2s}` or `{use: NODE}`"
        raise fault("E102", f"{shown(value)} stands where {said} is expected")
    return value


OnExceed = Annotated[
    Annotated[Literal["reject"], BeforeValidator(_word), Tag("form:word")]
    | Annotated[Queue, Tag("form:queue")]
    | Annotated[Jump, Tag("form:use")],
    Discriminator(_exceed),
]


class Limit(Spec):
    """How many requests or tokens in a time, or requests at once.

    Named by a route, a group, a key or a floor, it counts clients' requests; named by a deployment, the calls
    made there.
    """

    noun: ClassVar[str] = "limit"

    per: Expression | None = about(
        "One limit for each value of this; an empty one is a value too.",
        shown="one for all",
        examples=["key.id"],
    )
    requests: Throughput | None = about("Requests in a time.", examples=["100/min"])
    tokens: Throughput | None = about("Tokens in a time, input and output.", examples=["200k/min"])
    concurrent: Positive | None = about("Requests open at a time.")
    count: Literal["bucket", "sliding"] = about(
        "How a time is counted. `bucket`: what was used flows back evenly, up to `burst`. `sliding`: never "
        "more than the rate within its time, whenever one looks.",
        default="bucket",
        shown=PRINTED["limit.count"],
    )
    on_exceed: OnExceed = about("What happens beyond it.", default="reject", shown="reject")
    scope: Literal["fleet", "host"] | None = about(
        "Counted over all that share the state store, or by each host for itself: in its own SQLite file; in "
        "memory, and beside Redis, by each process.",
        shown=PRINTED["limit.scope"],
    )
    on_state_loss: Literal["reject", "local_share"] | None = about(
        "While a shared state store cannot be asked: rejected, or each process goes on with a share of it.",
        shown=PRINTED["limit.on_state_loss"],
    )
    share: Ratio | None = about(
        "That share, of `local_share`.", shown=PRINTED["limit.share"], examples=["5%"]
    )
    headers: Flag | None = about(
        "Clients are told how they stand, in the headers `RateLimit` and `RateLimit-Policy`. What others use "
        "too says something about them.",
        shown=PRINTED["limit.headers"],
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrent is None:
            raise fault("E107", "the limit limits nothing", "give it `requests`, `tokens` or `concurrent`")
        for key, said in (("requests", self.requests), ("tokens", self.tokens)):
            if said is not None and said.burst is not None and self.count == "sliding":
                raise fault(
                    "E113",
                    "`burst` does nothing with `count: sliding`: the rate itself may come at once",
                    "remove it, or count by `bucket`",
                    at=(key, "burst"),
                )
        if self.requests is None and self.tokens is None and "count" in self.model_fields_set:
            raise fault(
                "E113", "`count` does nothing: nothing is counted over a time", "remove it", at=("count",)
            )
        return self

    @model_validator(mode="after")
    def _loses_something(self) -> Self:
        for key in ("on_state_loss", "share"):
            if self.scope == "host" and getattr(self, key) is not None:
                raise fault(
                    "E113",
                    f"`{key}` does nothing with `scope: host`: no state store that can be away is asked",
                    "remove it",
                    at=(key,),
                )
        if self.share is not None and self.on_state_loss == "reject":
            advice = "remove it, or write `on_state_loss: local_share`"
            raise fault("E113", "`share` does nothing without `local_share`", advice, at=("share",))
        return self
