"""`engine.yaml`: the settings of this process. All optional; an empty file is valid."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Discriminator, PlainValidator, Tag, WithJsonSchema, model_validator
from typing_extensions import TypeAliasType

from engine.spec import defaults
from engine.spec.address import Address
from engine.spec.amounts import Duration, PositiveDuration, Ratio, Size
from engine.spec.defaults import PRINTED
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.model import Spec, about
from engine.spec.network import Networks
from engine.spec.plain import Flag, Positive, Text
from engine.spec.secret import SecretRef
from engine.spec.tls import Tls

_SERVER = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/@:,?#\[\]]+)(?::[0-9]{1,5})?"
_LOGIN = r"(?:\?[a-z]+=[^&\s]+(?:&[a-z]+=[^&\s]+)*)?"
_STATE = (
    rf"memory|sqlite:.+|rediss?://{_SERVER}(?:,{_SERVER})*(?:/[0-9]+)?{_LOGIN}|"
    rf"redis\+unix:///[^?@#\s]*{_LOGIN}"
)
#: What may follow the ? of a store's address.
_SAID = ("user", "password", "ca", "db")


def _state(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a state store (memory, sqlite:PATH or redis://HOST:PORT/0)")
    said = value.partition("?")[2] if value.startswith("redis") else ""
    if re.match(r"rediss?://[^/]*@", value) or re.search(r"password=(?!(?:env|file):)", said):
        # Never repeated: what stands before the @ is a password.
        raise fault(
            "E105",
            "a password stands in the state store's address (it is not shown)",
            "write redis://HOST:PORT/0?password=env:NAME, and put it there",
        )
    if not re.fullmatch(_STATE, value):
        raise fault(
            "E104",
            f"{shown(value)} is no state store",
            "write memory, sqlite:.engine/state.db or redis://HOST:6379/0",
        )
    names = [part.partition("=")[0] for part in said.split("&")] if said else []
    strange = next((name for name in names if name not in _SAID or names.count(name) > 1), None)
    if strange is not None:
        raise fault(
            "E104",
            f"`{strange}` does not belong behind the state store's address, or not twice",
            f"there may be {', '.join(_SAID[:-1])}, and of a socket db",
        )
    return value


StateStore = TypeAliasType(
    "StateStore",
    Annotated[
        str,
        PlainValidator(_state),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^({_STATE})$",
                "description": "memory, sqlite:PATH or redis://HOST:PORT/0 (docs/state.md).",
                "examples": [
                    "memory",
                    "sqlite:.engine/state.db",
                    "redis://127.0.0.1:6379/0",
                    "rediss://valkey.acme.internal:6379/0?user=engine&password=env:VALKEY_PASSWORD",
                ],
            }
        ),
    ],
)


def _timezone(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a time zone", "Europe/Berlin")
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        pass
    else:
        return value
    known = available_timezones()
    if not known:
        raise fault("E104", "this machine has no database of time zones", "install the package `tzdata`")
    near = [
        zone
        for zone in sorted(known)
        if zone.rpartition("/")[2].casefold() == value.rpartition("/")[2].casefold()
    ]
    advice = (
        f"did you mean {near[0]}?"
        if near
        else "names are those of the IANA database, like Europe/Berlin or UTC"
    )
    raise fault("E104", f"{shown(value)} is no time zone", advice)


TimeZone = TypeAliasType(
    "TimeZone",
    Annotated[
        str,
        PlainValidator(_timezone),
        WithJsonSchema(
            {
                "type": "string",
                "description": "A time zone of the IANA database.",
                "examples": ["Europe/Berlin", "UTC"],
            }
        ),
    ],
)


_HOST_PATTERN = r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+"


def _media_hosts(value: Any) -> tuple[str, ...]:
    if value == "any":
        return ("*",)
    if not isinstance(value, list) or not value:
        raise wrong_type(value, "`any` or a list of hosts", "[images.acme.ai, '*.cdn.acme.ai']")
    for number, item in enumerate(value):
        if not isinstance(item, str) or not re.fullmatch(_HOST_PATTERN, item):
            raise fault(
                "E104",
                f"{shown(item)} is no host",
                "write a name, or *. and a name for all below it",
                at=(number,),
            )
    return tuple(item.lower() for item in value)


MediaHosts = Annotated[
    tuple[str, ...],
    PlainValidator(_media_hosts),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "any"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": f"^{_HOST_PATTERN}$"},
                },
            ]
        }
    ),
]


class Media(Spec):
    """Whether the engine fetches what requests name by URL, for vendors that take data only.

    Clients choose the URLs. Only public addresses are called, whatever their names say, without credentials;
    answers are not told but used. Without this map nothing is fetched, and such a vendor is passed over.
    """

    noun: ClassVar[str] = "media"

    fetch: MediaHosts = about(
        "Hosts to fetch from: a list of names (`*.acme.ai`: those below it), or `any`.",
        required=True,
        examples=[["images.acme.ai", "*.cdn.acme.ai"], "any"],
    )
    http: Flag | None = about("Also over http, unencrypted.", shown="false")
    timeout: PositiveDuration | None = about("How long one may take, redirects and all.", shown="10s")


class Overload(Spec):
    """From where on requests for models are refused with 503 and Retry-After, before they would fail.

    The further beyond, the more of them. Control paths (/healthz, /readyz, /metrics, /admin) answer always.
    """

    noun: ClassVar[str] = "overload"

    lag: PositiveDuration = about(
        "The event loop comes late by so much, every time it is looked at.",
        default=defaults.LAG_MS,
        shown=PRINTED["overload.lag"],
    )
    files: Ratio = about(
        "Open files and sockets, as a share of the process's limit; the rest is refused four fifths of the "
        "way from there to all. Clients' idle connections are closed then.",
        default=defaults.FILES,
        shown=PRINTED["overload.files"],
    )
    memory: Ratio = about(
        "Memory, as a share of the container's limit, or of the machine where there is none.",
        default=defaults.MEMORY,
        shown=PRINTED["overload.memory"],
    )

    @model_validator(mode="after")
    def _lets_something_in(self) -> Self:
        for key in ("files", "memory"):
            if not 0 < getattr(self, key) <= 1:
                raise fault(
                    "E112",
                    "a share of a limit is above 0% and at most 100%",
                    "the default is 95%; 100% never refuses",
                    at=(key,),
                )
        return self


class Usage(Spec):
    """Where finished requests are kept for `engine usage`: no prompts, no answers (docs/usage.md)."""

    noun: ClassVar[str] = "usage"

    file: Text | None = about(
        "A SQLite file; all processes of this host may share it.",
        shown=PRINTED["usage.file"],
        examples=["/var/lib/engine/usage.db"],
    )
    keep: PositiveDuration = about(
        "How long each request is kept.", default=defaults.USAGE_KEEP_MS, shown=PRINTED["usage.keep"]
    )
    sums: PositiveDuration = about(
        "How long the sums of each hour are kept.",
        default=defaults.USAGE_SUMS_MS,
        shown=PRINTED["usage.sums"],
    )
    required: Flag = about(
        "While the file cannot be written, requests are refused with 503; else they are served, and what "
        "could not be kept is counted.",
        default=False,
        shown=PRINTED["usage.required"],
    )

    @model_validator(mode="after")
    def _sums_last_longer(self) -> Self:
        if self.sums < self.keep:
            raise fault(
                "E112",
                "`sums` is shorter than `keep`: sums are what the requests leave behind",
                "give it at least the time of `keep`",
                at=("sums",),
            )
        return self


def _usage(value: Any) -> str:
    return "form:map" if isinstance(value, dict | Usage) else "form:word"


class Settings(Spec):
    """Where this process listens, what it keeps, how it ends. Nothing in here changes what a route does."""

    noun: ClassVar[str] = "engine.yaml"

    listen: Address = about(
        "Where clients connect. Port 0 takes any free one. Without client keys only a loopback address "
        "starts.",
        default=defaults.LISTEN,
        shown=PRINTED["listen"],
    )
    tls: Tls | None = about("TLS on `listen`; `admin` and `probes` stay plain.", shown="none: plain http")
    trusted_proxies: Networks | None = about(
        "Proxies in front of `listen`: of a request that comes from one of them, the client's address is the "
        "last in `x-forwarded-for` that is none of theirs. Otherwise that header means nothing.",
        shown="none: a client is whoever connects",
        examples=[["10.0.0.0/8", "fd00::/8"]],
    )
    admin: Address | None = about(
        "Where /admin is served; needs `admin_key` when it is not loopback.",
        shown=PRINTED["admin"],
        examples=["127.0.0.1:8081"],
    )
    admin_key: SecretRef | None = about("The key that /admin asks for.", shown="none asked on loopback")
    keys_secret: SecretRef | None = about(
        "The secret that hashes of client keys are made under: the same wherever the keys shall work.",
        shown="none: hashes are made under a public text",
        examples=["env:ENGINE_KEYS_SECRET"],
    )
    probes: Address | None = about(
        "Where only /healthz and /readyz are served, for kubelets.", shown="nowhere else"
    )
    state: StateStore = about(
        "Where budgets, limits and health are kept.", default=defaults.STATE, shown=PRINTED["state"]
    )
    replicas: Positive | None = about(
        "Hosts that serve this workspace together. Nothing follows it but the bounds that `plan` and "
        "`validate` tell: how far a budget can be overspent.",
        shown=PRINTED["replicas"],
    )
    timezone: TimeZone | None = about(
        "The workspace's time zone; required once a clock or calendar is used.", examples=["Europe/Berlin"]
    )
    workers: Positive = about(
        "Processes that serve requests; each keeps its own counts (docs/workers.md).",
        default=defaults.WORKERS,
        shown=PRINTED["workers"],
    )
    body_limit: Size = about(
        "Largest request body.", default=defaults.BODY_LIMIT, shown=PRINTED["body_limit"]
    )
    drain: PositiveDuration = about(
        "How long open requests may go on after a stop.", default=defaults.DRAIN_MS, shown=PRINTED["drain"]
    )
    heartbeat: Duration = about(
        "A stream that says nothing for so long gets a comment, where its format has comments (SSE): status "
        "200 is sent then, and what fails later is told by an event. `0s`: never.",
        default=defaults.HEARTBEAT_MS,
        shown=PRINTED["heartbeat"],
    )
    watch: Flag = about("Reloads when a file of the workspace changes.", default=True, shown=PRINTED["watch"])
    idempotency: Duration = about(
        "How long an answer is kept for requests that repeat its `idempotency-key`; `0s`: the header means "
        "nothing. In memory, in each process.",
        default=defaults.IDEMPOTENCY_MS,
        shown=PRINTED["idempotency"],
    )
    overload: Overload | None = about("When requests are refused early.")
    debounce: PositiveDuration = about(
        "How long the files must stay as they are before they are compiled.",
        default=defaults.DEBOUNCE_MS,
        shown=PRINTED["debounce"],
    )
    media: Media | None = about(
        "Fetches images and files that requests name by URL.", shown="none is fetched"
    )
    usage: (
        Annotated[
            Annotated[Literal["off"], Tag("form:word")] | Annotated[Usage, Tag("form:map")],
            Discriminator(_usage),
        ]
        | None
    ) = about(
        "What is kept of finished requests, for `engine usage`; `off`: nothing.", shown=PRINTED["usage"]
    )
    decision_log: Text | None = about(
        "Appends every decision record, as one line of JSON, to this file; it holds no prompts and no "
        "answers.",
        shown="none",
        examples=["decisions.jsonl"],
    )
