"""What runs: the frozen plan, made of plain values only.

Every type here is a frozen dataclass of JSON-able values, so a plan dumps to canonical JSON
(`codec`), its digest is the revision, and a process that has never seen the compiler can load and run it.

Units: durations in whole milliseconds (`_ms`), money in nano-dollars (10**-9 USD), prices in
nano-dollars per million tokens, sizes in bytes, shares as a float between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from engine.plan.values import Expr, Json, Secret
from engine.plan.vendors import Dialect, Facts, Provider

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Call:
    """The options that inherit: defaults -> route -> node -> target. None = not said here.

    A call that the client does not stream is streamed upstream where `collect` is True, so that `first_token`
    and `idle` hold for it too; else it is made in one piece, and `whole_ms` limits it in place of `total_ms`.
    """

    connect_ms: int | None = None
    first_token_ms: int | None = None
    idle_ms: int | None = None
    total_ms: int | None = None
    whole_ms: int | None = None  # `total_ms` wherever that is written
    collect: bool | None = None  # True where `first_token` or `idle` is written; never False
    retry_extra: int | None = None
    retry_failures: tuple[str, ...] | None = None
    retry_named: tuple[str, ...] | None = None
    retry_backoff_ms: int | None = None
    failures: tuple[str, ...] | None = None
    params: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A vertex of a route graph. `id` is its path in the file, e.g. `assistant/switch[0]`.

    Each kind subclasses it in `engine/kinds/`; `codec` stores the kind's name beside the fields.
    """

    kind: ClassVar[str] = ""
    id: str
    call: Call


@dataclass(frozen=True, slots=True)
class Ref(Node):
    """A named node, before `link` puts the node itself in its place."""

    kind: ClassVar[str] = "ref"
    name: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What we show a vendor. Of the places where a secret may be read, the first that is set counts.

    default: it is what the provider file names, and no file of the workspace does.
    """

    name: str
    provider: str
    secrets: Mapping[str, tuple[Secret, ...]]
    settings: Mapping[str, str]
    only: Expr | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class Breaker:
    """When calls to a deployment stop for a while: `open_at` of at least `calls` in `window_ms` failed."""

    open_at: float = 0.5
    calls: int = 20
    window_ms: int = 30_000
    pause_ms: int = 5_000  # doubles while trials fail


@dataclass(frozen=True, slots=True)
class Probing:
    """A small call of the engine's own, where no other went well for so long."""

    every_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that serves one model: the identity that state hangs on.

    uncounted: its price is unknown and whoever wrote so knows: nothing is reserved for its calls.
    """

    name: str
    provider: str
    model: str
    wire_model: str
    region: str
    base_url: str
    residency: str
    credentials: tuple[Credential, ...]
    facts: Facts
    call: Call
    concurrent: Concurrent | None = None
    options: Mapping[str, Json] | None = None  # local models: execution_providers, threads, ...
    settings: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str | None, ...] = ()  # base URLs, one for each of the provider's `speaks`; None: not there
    breaker: Breaker = Breaker()
    probe: Probing | None = None
    uncounted: bool = False
    limits: tuple[str, ...] = ()  # the vendor's quota: what every call made there counts in


@dataclass(frozen=True, slots=True)
class Concurrent:
    """Places at a time, how many may wait for one, and for how long."""

    most: int
    queue: int = 0
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a route takes. `*` may end a model name."""

    models: tuple[str, ...]
    operations: tuple[str, ...] = ("chat",)
    when: Expr | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """What a route lets in. None = not limited here."""

    input: int | None = None
    output: int | None = None
    n: int = 1
    images: int | None = None
    audio: int | None = None
    files: int | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    hosted_tools: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Hard limits over all attempts of one request."""

    calls: int | None = None
    time_ms: int | None = None
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """The commit point, and what happens to a stream that breaks after it."""

    switch_until: Literal["first_token", "complete"] = "first_token"
    on_cut: Literal["error", "continue"] = "error"


@dataclass(frozen=True, slots=True)
class Route:
    """A named entry that a client asks for, and the graph behind it."""

    name: str
    match: Match
    start: Node
    call: Call
    admit: Admit
    per_request: Ceilings
    stream: Streaming
    residency: tuple[str, ...] | None = None
    strict: str | None = None
    reply_model: Literal["served", "requested"] = "served"
    concurrent: Concurrent | None = None
    priority: Expr | None = None  # of who waits for a place; None: `policies.admission.USUAL`
    fair_by: Expr | None = None  # who takes turns while waiting; None: the client key
    budgets: tuple[str, ...] = ()  # its own and those of floors that hold for every request
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteSegment:
    route: Route


@dataclass(frozen=True, slots=True)
class NodeSegment:
    """A named node and what stands inside it."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class ProviderSegment:
    provider: Provider


@dataclass(frozen=True, slots=True)
class DeploymentSegment:
    """One deployment: ten thousand of one provider are as many segments, so none is large."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class DialectSegment:
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class MediaFetch:
    """Where the engine may fetch from what requests name by URL. hosts: names, `*.below` or `*`."""

    hosts: tuple[str, ...]
    http: bool
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class UsageFile:
    """Where finished requests are kept, and how long: each of them, and their sums by the hour.

    required: no request is served that could not be kept. optional: nobody asked for it, so where it cannot
    be opened the engine says so and serves without.
    """

    file: str
    keep_ms: int
    keep_sums_ms: int
    required: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The part of `engine.yaml` that changes what a plan does; addresses are the process's own."""

    timezone: str | None = None
    decision_log: str | None = None
    media: MediaFetch | None = None
    usage: UsageFile | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The plan's table of contents. Its canonical JSON's sha256 is the revision.

    probes: deployments that are probed -> every how many ms.
    prices: digest of the price book (`price_book`).
    money: digest of the `MoneySegment`; "" where there are neither budgets nor limits.
    people: the digest of a `people.PeopleSegment`; empty: nothing is said of who asks.
    """

    schema: int
    settings: Settings
    routes: Mapping[str, str]  # name -> segment digest
    nodes: Mapping[str, str]
    providers: Mapping[str, str]
    dialects: Mapping[str, str]
    matches: tuple[tuple[str, Match], ...]  # (route, match), so that only matched routes need loading
    deployments: Mapping[str, str]  # deployment -> provider
    deployment_segments: Mapping[str, str]
    ingress: Mapping[str, tuple[str, str]]  # HTTP path -> (dialect, operation)
    probes: Mapping[str, int] = field(default_factory=dict)
    # Not plain defaults: `parts` writes every field, and a plain default is left out of the canonical text.
    money: str = field(default_factory=str)
    prices: str = field(default_factory=str)
    people: str = field(default_factory=str)
