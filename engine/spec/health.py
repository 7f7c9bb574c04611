"""`breaker:` and `probe:` of a deployment: when it is left in peace, and who finds out that it is back."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from engine.spec.amounts import PositiveDuration, Ratio, Sample
from engine.spec.defaults import BREAKER, PROBE_EVERY_MS, PROBE_TIMEOUT_MS
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.units import show_duration, show_ratio, show_sample


class Breaker(Spec):
    """When calls to a deployment stop for a while: by a share of calls, never a bare count."""

    noun: ClassVar[str] = "breaker"

    open_at: Ratio = about(
        "Share of calls that fail. It opens after a failure that follows others: a quarter of the calls of "
        "`of` in a row; and whatever the share, once as many as in `of` failed in a row.",
        default=BREAKER.open_at,
        shown=show_ratio(BREAKER.open_at),
    )
    of: Sample = about(
        "Counted over at least so many calls in so long.",
        default=(BREAKER.calls, BREAKER.window_ms),
        shown=show_sample(BREAKER.calls, BREAKER.window_ms),
    )
    pause: PositiveDuration = about(
        "How long it stays open before one call is let through as a trial; doubles with jitter up to 30s "
        "while trials fail.",
        default=BREAKER.pause_ms,
        shown=show_duration(BREAKER.pause_ms),
        alias="for",
    )

    @model_validator(mode="after")
    def _opens_at_something(self) -> Self:
        if not 0 < self.open_at <= 1:
            raise fault(
                "E112",
                f"{show_ratio(self.open_at)} is no share of calls to open at: above 0%, at most 100%",
                f"the default is {show_ratio(BREAKER.open_at)}",
                at=("open_at",),
            )
        return self


class Probe(Spec):
    """A small call where no other went well for a while: health is known before a client finds out."""

    noun: ClassVar[str] = "probe"

    every: PositiveDuration = about(
        "It is probed where no call went well for so long.",
        default=PROBE_EVERY_MS,
        shown=show_duration(PROBE_EVERY_MS),
    )
    timeout: PositiveDuration = about(
        "How long a probe may take.", default=PROBE_TIMEOUT_MS, shown=show_duration(PROBE_TIMEOUT_MS)
    )
