"""What a plan knows of vendors: wire formats both ways, where they are spoken, what models can do and cost.

Units are those of `types`. Every type is a frozen dataclass of JSON-able values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.plan.values import Expr, Json, Secret, Template


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Other prices for a call whose input is above so many tokens, all of it; None = as in the row."""

    above: int
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the day in UTC, in minutes after midnight; over midnight where `end` is before `start`."""

    start: int
    end: int
    days: tuple[int, ...] = ()  # of the week, 1 is Monday; none means all


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What a call costs: tokens in nano-dollars per million of them, None = unknown; and what else is billed.

    It holds from `since` until `until` (seconds since 1970, the second not included; None = open), and in
    `hours` only, if there are any.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None  # None: as input
    cache_write: int | None = None  # None: as input
    request: int = 0  # nano-dollars per call
    cache_write_1h: int | None = None  # written to stay for an hour; None: as cache_write
    audio_input: int | None = None  # None: as input
    reasoning: int | None = None  # None: as output
    audio_output: int | None = None  # None: as output
    tiers: tuple[PriceTier, ...] = ()  # by `above`, rising
    since: int | None = None
    until: int | None = None
    hours: tuple[Hours, ...] = ()
    source: str | None = None
    second: int = 0  # nano-dollars per second that a call takes


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """How many tokens of input a model makes of an image at most: `base` and `times` its patches.

    A patch has `patch` x `patch` pixels; of `least` to `most` of them as many count as cover the image.
    patch: None: nobody counts them, `most` are taken.
    """

    most: int
    patch: int | None = None
    times: float = 1.0
    base: int = 0
    least: int = 0


@dataclass(frozen=True, slots=True)
class ToolPrice:
    """What a tool that the vendor runs costs: nano-dollars a use; how often a call uses it at most, and how
    many tokens a use brings into the input at most. None: nobody says.
    """

    use: int = 0
    most: int | None = None
    reads: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model. None = unknown, which allows whatever the dialect can."""

    context: int | None = None
    output: int | None = None
    can: tuple[str, ...] | None = None
    prices: tuple[PriceRow, ...] = ()  # of those that hold at a time, the last counts
    max_tokens_field: str | None = None
    tokenizer: str | None = None
    overhead: Mapping[str, int] | None = None  # tokens per message, part, tool: the bound from above
    tools: Mapping[str, ToolPrice] | None = None  # that the vendor runs, by the beginning of their names
    image: ImageTokens | None = None  # tokens of an image: the bound from above
    source: str | None = None
    sampling: Literal["always", "never", "without_reasoning"] | None = (
        None  # temperature and its kin are taken
    )
    efforts: tuple[str, ...] | None = None  # words of `reasoning.effort` that it takes
    thinking: Literal["effort", "budget", "adaptive", "level", "none"] | None = None  # how reasoning is asked
    upstream: Literal["chat", "responses", "tools_by_responses"] | None = None
    dialect: str | None = None  # the format it is spoken to in, where it is not the provider's
    forced_tools: bool | None = None  # a tool choice of `required` or a name is taken
    schema_by: Literal["native", "tool"] | None = None  # how a JSON Schema is enforced
    api_version: str | None = None
    modalities: tuple[str, ...] | None = None  # of its input: text image audio video file
    quality: float | None = None  # 0 to 1, by whoever wrote the file: what `rank: quality` compares

    @property
    def goes_on(self) -> bool:
        """The model goes on with an answer that is begun, and in a stream: `on_cut: continue` may ask it."""
        return self.can is not None and "prefill" in self.can and "stream" in self.can


@dataclass(frozen=True, slots=True)
class Auth:
    """How a call shows its credential. `scheme` names code in `upstream/auth`; `params` are its fields.

    templates: fields that are filled in per deployment, in the scope `place`. secrets: slot -> where the
    provider file says it is read. any_of: the schemes of the scheme `any_of`, in order.
    """

    scheme: str
    params: Mapping[str, Json]
    pattern: str | None = None
    templates: Mapping[str, Template] = field(default_factory=dict)
    secrets: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict)
    any_of: tuple[Auth, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One rule from a failed answer to a failure class; the first that matches wins."""

    failure: str
    status: tuple[int, ...] | None = None  # also ranges, spread out
    path: str | None = None  # dotted path into the error body
    equals: tuple[str, ...] | None = None
    regex: str | None = None  # RE2, searched
    header: str | None = None
    told: str | None = None  # what the dialect's reading of the body calls so, instead of a path
    retry_after: Expr | None = None


@dataclass(frozen=True, slots=True)
class Adjust:
    """One rule over the canonical request before it is written. Fields are dotted, lists passed through."""

    when: Expr | None = None
    drop: tuple[str, ...] = ()
    clamp: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    map: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    refuse: Expr | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a stream: when `when` holds, put `put` into the state, then emit `emit`."""

    when: Expr | None
    put: Mapping[str, Template]
    emit: tuple[Template, ...]
    error: Template | None = None
    end: bool = False
    go_on: bool = False  # try the next rules too


@dataclass(frozen=True, slots=True)
class StreamRead:
    """A vendor's stream into canonical events."""

    decoder: Literal["sse", "ndjson", "aws_eventstream", "json_array"]
    options: Mapping[str, Json]
    sentinel: str | None
    state: Mapping[str, Json]
    rules: tuple[Rule, ...]
    complete: Expr | None  # holds once the answer is whole; an end before it is `cut`
    at_sentinel: Template | None = None  # the events that it stands for
    look_for: tuple[str, ...] = ()  # RE2 over events' bytes: the others may pass through unread


@dataclass(frozen=True, slots=True)
class StreamWrite:
    """Canonical events into a client's stream."""

    encoder: Literal["sse", "ndjson", "aws_eventstream"]
    sentinel: str | None
    named_events: bool  # SSE `event:` from the body's `type`
    state: Mapping[str, Json]
    rules: tuple[Rule, ...]
    error: Template  # the event that tells a client of a failure after the commit point
    numbered: str | None = None  # a field that every event is given: how many were written before it
    ending: Mapping[str, Json] | None = None  # ends what passed through without its upstream's own end


@dataclass(frozen=True, slots=True)
class Inline:
    """What a format takes as data only, and how many bytes of each at most."""

    images: bool
    files: bool
    max_bytes: int


@dataclass(frozen=True, slots=True)
class PollCall:
    """A further call about a job. whole: `address` gives a whole URL, not a path after the base URL."""

    address: Template
    whole: bool
    method: str


@dataclass(frozen=True, slots=True)
class Poll:
    """How a vendor that takes calls as jobs says how one stands. Statuses are the vendor's own words."""

    status: Template
    pending: tuple[str, ...]
    succeeded: tuple[str, ...]
    failed: tuple[str, ...]
    at: PollCall
    result: PollCall | None
    cancel: PollCall | None
    stream: PollCall | None
    hosts: tuple[str, ...]  # beside the base URL's; `*.` begins those below a name
    every_ms: int
    longest_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a dialect, both ways."""

    name: str
    path: Template | None  # appended to the provider's base URL
    stream_path: Template | None  # where a stream has another path
    ingress: tuple[str, ...]  # the sidecar's own paths; `{model}` in one stands for any text
    headers: Mapping[str, Template]
    request_read: Template | None
    request_write: Template | None
    response_read: Template | None
    response_write: Template | None
    stream_read: StreamRead | None
    stream_write: StreamWrite | None
    success_when: Expr | None
    model_field: str | None  # the wire field that a passthrough sets
    stream_field: str | None
    usage_request: Mapping[str, Json]  # body fields that ask a stream for its usage
    # that limit the output, dotted where in a map; the first is written
    max_tokens_fields: tuple[str, ...] = ()
    raw_when: Expr | None = None  # an answer may pass through as it is; None: always
    batch: int | None = None  # most inputs of one call; more are cut into several
    check: Json = None  # the shape a client's body must have (`wire/shape.py`)
    stream_ingress: tuple[str, ...] = ()  # those that ask for a stream by being called
    stream_default: bool = False  # without `stream_field` an answer is streamed
    adjust: tuple[Adjust, ...] = ()
    forward: tuple[str, ...] = ()  # headers of a client that go along with its own body, in lower case
    native_only: tuple[str, ...] = ()  # fields of a client's body that no other format has a place for
    wire: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # canonical field -> dotted, in a body
    poll: Poll | None = None  # the vendor takes a call as a job
    inline: Inline | None = None  # what it names by URL is fetched first


@dataclass(frozen=True, slots=True)
class Dearer:
    """A field of a body, by a dotted path, that may make a call dearer than its price: refused where money is
    counted, but for the usual values (None: for any), or as large a number as the field `most`.
    """

    field: str
    usual: tuple[Json, ...] | None = None
    most: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Hosted:
    """Tools that a vendor runs: the fields that bound their use, and those of whose use its usage tells."""

    uses: str | None = None  # of the tool
    all_uses: str | None = None  # of the body
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """What requests of a format may cost beside their tokens. elsewhere: as `Operation.native_only`."""

    dearer: tuple[Dearer, ...] = ()
    elsewhere: tuple[str, ...] = ()
    hosted: Hosted = Hosted()


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format, both directions."""

    name: str
    operations: Mapping[str, Operation]
    finish: Mapping[str, str]  # native reason -> canonical
    usage: Mapping[str, Json]  # semantics: input_includes_cached, output_includes_reasoning, ...
    errors: tuple[ErrorRule, ...]
    error_read: Template | None  # message, code, type, param out of a vendor's error body
    error_write: Template | None  # a canonical error as this dialect's body
    error_types: Mapping[str, Json]  # failure class -> status, type, code, for error_write
    models_write: Template | None  # the list that /v1/models answers
    can: tuple[str, ...]
    ledger: Mapping[str, Mapping[str, str]]  # operation -> canonical field -> kept renamed dropped ...
    costs: Costs = Costs()
    error_default: str | None = None  # the class of failures that no rule knows; None: by their status


@dataclass(frozen=True, slots=True)
class Region:
    """One place a provider serves from."""

    name: str
    base_url: str  # as written: holes for a region's name and settings are filled in deployments
    residency: str
    price: float = 1.0
    models: tuple[str, ...] | None = None  # the only ones it serves; None: all


@dataclass(frozen=True, slots=True)
class Spoken:
    """A further format of a provider, and what is different where it is spoken. None: as the provider's."""

    dialect: str
    when: Expr | None = None  # requests that must go out in it; None: where client or model ask for it
    base_url: str | None = None
    root: str | None = None  # a path in place of the base URL's own
    paths: Mapping[str, Template] = field(default_factory=dict)
    headers: Mapping[str, Template] = field(default_factory=dict)  # beside the provider's
    auth: Auth | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    params: Mapping[str, Json] = field(default_factory=dict)
    adjust: tuple[Adjust, ...] | None = None
    errors: tuple[ErrorRule, ...] = ()  # before the provider's


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Where a vendor says when to come again: a header (in lower case), or a dotted path into its error."""

    header: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Headroom:
    """Headers (in lower case) that say what of a quota is left, when it refills, and how much there is."""

    left: str
    resets: str | None = None
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor or a server: where a dialect is spoken, and the quirks there."""

    name: str
    title: str
    category: str
    dialect: str | None  # None: the local provider `onnx`
    auth: Auth
    regions: Mapping[str, Region]
    default_region: str
    headers: Mapping[str, Template]
    paths: Mapping[str, Template]  # operation -> path, where it is not the dialect's
    rename: Mapping[str, str]
    drop: tuple[str, ...]
    params: Mapping[str, Json]  # body fields that this vendor's chats always have
    errors: tuple[ErrorRule, ...]
    retry_after: tuple[RetryAfter, ...]  # in the order they are asked
    adjust: tuple[Adjust, ...] = ()
    takes: tuple[str, ...] = ()  # what of its format only some vendors take
    batch: int | None = None  # most inputs of one embeddings call; None: what the dialect says
    speaks: tuple[Spoken, ...] = ()
    operations: tuple[str, ...] = ("chat",)
    headroom: Mapping[str, Headroom] = field(default_factory=dict)
