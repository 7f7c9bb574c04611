"""The four options that inherit: `timeout`, `retry`, `params`, `failures`; defaults -> route -> node ->
target.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator
from typing_extensions import TypeAliasType

from engine.policies.failures import NEVER_MOVES, FailureClass
from engine.spec.amounts import Duration, PositiveDuration
from engine.spec.containers import Mapped, Some
from engine.spec.defaults import PRINTED
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.plain import JsonValue, Natural

FailureName = TypeAliasType(
    "FailureName",
    Literal["transient", FailureClass],
)


def _moving(names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in NEVER_MOVES:
            raise fault("E104", f"`{name}` never moves on to another target", "remove it", at=(index,))
    return names


Failures = Annotated[Some[FailureName], AfterValidator(_moving)]


class Timeout(Spec):
    """How long a call may take, by part."""

    noun: ClassVar[str] = "timeout"

    connect: PositiveDuration | None = about(
        "Time until the connection stands, TLS included.", shown=PRINTED["timeout.connect"]
    )
    first_token: PositiveDuration | None = about(
        "Time from the start of the call, connecting included, to the first content, tool call or reasoning. "
        "Where this or `idle` is written, calls that the client does not stream are streamed upstream all "
        "the same, where the vendor can, so that both hold for them too.",
        shown=PRINTED["timeout.first_token"],
    )
    idle: PositiveDuration | None = about(
        "Longest silence between two events of an answer.", shown=PRINTED["timeout.idle"]
    )
    total: PositiveDuration | None = about("Time for the whole call.", shown=PRINTED["timeout.total"])


class Retry(Spec):
    """More calls to the same target. It is the only retry in the process: clients and SDKs retry nothing."""

    noun: ClassVar[str] = "retry"

    extra: Natural | None = about(
        "How many more calls: 1 is one more, 0 is none.", shown=PRINTED["retry.extra"]
    )
    failures: Failures | None = about(
        "After which failures. In place only `connect`, `server`, `cut` and `rate_limited` (after the "
        "vendor's delay) are retried; `timeout` and `overloaded` too where they are named here themselves.",
        shown=PRINTED["retry.failures"],
    )
    backoff: Duration | None = about(
        "Pause before the first retry; it doubles, with jitter.", shown=PRINTED["retry.backoff"]
    )


class CallOptions(Spec):
    """What may stand on `defaults`, on a route, on a node and on a target; the nearest wins, leaf by leaf."""

    noun: ClassVar[str] = "call options"

    timeout: Timeout | None = about("How long a call may take, by part.")
    retry: Retry | None = about("More calls to the same target.")
    params: Mapped[Name, JsonValue] | None = about(
        "Fields set on the call, over what the client says; null leaves one out that an outer level sets.",
        examples=[{"reasoning_effort": "low"}],
    )
    failures: Failures | None = about(
        "The failure classes after which the next target is asked.", shown=PRINTED["failures"]
    )


class Defaults(CallOptions):
    """What every route starts from."""

    noun: ClassVar[str] = "defaults"
