"""`routes:` what clients ask for, and the graph behind it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from engine.spec.amounts import Money, PositiveCount, PositiveDuration
from engine.spec.call import CallOptions
from engine.spec.concurrency import Concurrent
from engine.spec.containers import Listed, Some
from engine.spec.defaults import PRINTED
from engine.spec.expression import Expression, NumberExpression
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.model import Spec, about, fields
from engine.spec.names import AllowedZone, BudgetName, GuardName, LimitName, ModelPattern
from engine.spec.nodes.node import Child, kinds_in
from engine.spec.plain import Flag, Natural, Positive, Text

Operation = TypeAliasType(
    "Operation",
    Literal[
        "chat",
        "completions",
        "embeddings",
        "rerank",
        "count_tokens",
        "moderations",
        "images",
        "speech",
        "transcriptions",
        "batches",
        "files",
    ],
)


class Match(Spec):
    """Which requests a route takes: exact names first, then the longest beginning, then `*`."""

    noun: ClassVar[str] = "match"

    models: Some[ModelPattern] | None = about(
        "The names clients ask for; a `*` may end one.",
        shown=PRINTED["match.models"],
        examples=[["assistant", "gpt-4o-mini*"]],
    )
    operations: Some[Operation] = about(
        "What may be done with them, in every ingress dialect.",
        default=("chat",),
        shown=PRINTED["match.operations"],
    )
    when: Expression | None = about("Takes only requests for which this holds.", shown="always")


class Admit(Spec):
    """What a route lets in; this makes cost and ability provable. 413 for too much input, else 400."""

    noun: ClassVar[str] = "admit"

    input: PositiveCount | None = about("Most input tokens.", shown="what the models hold", examples=["30k"])
    output: PositiveCount | None = about(
        "Most output tokens; also what a request without max_tokens gets.",
        shown="what the models give",
        examples=["4k"],
    )
    tools: Flag | None = about("Requests with tools.", shown="true")
    json_schema: Flag | None = about("Requests that want JSON by a schema.", shown="true")
    n: Positive = about("Most answers to one request.", default=1, shown=PRINTED["admit.n"])
    images: Natural = about("Most images in a request.", default=0, shown=PRINTED["admit.images"])
    audio: Natural = about("Most audio parts in a request.", default=0, shown=PRINTED["admit.audio"])
    files: Natural = about("Most files in a request.", default=0, shown=PRINTED["admit.files"])
    hosted_tools: Listed[Text] = about(
        "Vendors' own tools that a request may name.", default=(), shown=PRINTED["admit.hosted_tools"]
    )


class PerRequest(Spec):
    """Ceilings over everything that one request causes."""

    noun: ClassVar[str] = "per_request"

    calls: Positive | None = about(
        "Most calls to vendors: proven and enforced.", shown="what the graph can make"
    )
    cost: Money | None = about("Most it may cost in the worst case: proven and enforced.")
    time: PositiveDuration | None = about("Most time it may take: enforced.", shown="no limit")


class Stream(Spec):
    """The commit point of an answer, and what happens to one that breaks after it."""

    noun: ClassVar[str] = "stream"

    switch_until: Literal["first_token", "complete"] = about(
        "Until when another target may answer instead. `complete` buffers: the client sees nothing before "
        "the end.",
        default="first_token",
        shown=PRINTED["stream.switch_until"],
    )
    on_cut: Literal["error", "continue"] = about(
        "When a stream breaks after that: an error event, or another target goes on where it stopped.",
        default="error",
        shown=PRINTED["stream.on_cut"],
    )


class Route(CallOptions):
    """A named entry that clients ask for as `model`, and the graph behind it. A bare name is its `start`."""

    noun: ClassVar[str] = "route"

    match: Match | None = about("Which requests it takes.", shown="its own name, chat")
    residency: Some[AllowedZone] | None = about(
        "Where data may be processed; proven over every path.", shown="anywhere", examples=[["eu", "on_host"]]
    )
    guards: Some[GuardName] | None = about("What may not go in or come out.")
    budgets: Some[BudgetName] | None = about("What it may spend.")
    limits: Some[LimitName] | None = about("How fast it may be asked.")
    admit: Admit | None = about("What it lets in.")
    per_request: PerRequest | None = about("Ceilings for one request.")
    concurrent: Concurrent | None = about(
        "Most requests open at a time. Beyond that a request waits where there is a queue; else, and when "
        "that is full or took too long, it is answered with 503 and Retry-After.",
        shown="no limit",
        examples=[{"most": 200, "queue": 500, "wait": "2s"}],
    )
    priority: NumberExpression | None = about(
        "Who waits for a place, here or at a deployment, is served by this: 0 to 9, the highest first; what "
        "lies beyond counts as the nearest.",
        shown=PRINTED["route.priority"],
        examples=['9 if key.tags.tier == "gold" else 5'],
    )
    fair_by: Expression | None = about(
        "Those who wait with one priority take turns by this, so that who asks most waits for itself.",
        shown=PRINTED["route.fair_by"],
        examples=["request.user or key.id"],
    )
    stream: Stream | None = about("The commit point, and broken streams.")
    strict: Literal["lossless"] | None = about("Refuses a plan that may drop a field that the route admits.")
    reply_model: Literal["served", "requested"] = about(
        "The `model` in the answer: the one that served, or the name asked for.",
        default="served",
        shown=PRINTED["reply_model"],
    )
    start: Child = about("The node where a request begins.", required=True)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`mini: gpt` is `mini: {start: gpt}`; a node's kind key belongs under `start`."""
        if isinstance(value, str):
            return {"start": value}
        if not isinstance(value, dict):
            raise wrong_type(value, "a route (a map with `start`, or the name of a node)", "`assistant: gpt`")
        misplaced = [key for key in kinds_in(value) if key not in fields(cls)]
        if misplaced:
            key = misplaced[0]
            raise fault(
                "E110",
                f"{shown(key)} is a node's kind and stands on the route itself",
                f"write `start: {{{key}: ...}}`",
                at=(key,),
            )
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        name = {"type": "string", "description": "The node or deployment where a request begins."}
        return {"anyOf": [name, handler(schema)]}


__all__ = ["Admit", "Match", "Operation", "PerRequest", "Route", "Stream"]
