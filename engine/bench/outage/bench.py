"""The worlds, and the bars that they are held against.

Outages: every deployment of a route fails for a minute. What counts is how many attempts a request that
begins then makes: more than one means that the gateway multiplies its clients' load on a vendor that is down.
Partial faults: each call fails by a draw of its own. What counts is how many requests are answered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.bench.outage.world import Count, Fault, play
from engine.bench.report import Report
from engine.policies.failures import FailureClass

#: Attempts a request over an outage, and the share of requests that a partial fault must leave answered.
MOST_ATTEMPTS: Final = 1.10
LEAST_ANSWERED: Final = 99.9
#: A deployment is asked again so many seconds after its recovery, at the latest; its calls may take a moment.
MOST_RECOVERY_S: Final = 31.0

#: Good before and after, in seconds.
_LEAD: Final = 15.0
_REST: Final = 45.0

_OUTAGES: Final[tuple[tuple[str, FailureClass, str], ...]] = (
    ("fallback", "server", "two targets answer 500"),
    ("fallback", "overloaded", "two targets answer 503"),
    ("fallback", "rate_limited", "two targets answer 429 without a delay"),
    ("fallback", "connect", "two targets are unreachable"),
    ("fallback", "timeout", "two targets are silent"),
    ("balance", "server", "three members answer 500"),
    ("alone", "server", "one target answers 500"),
    ("budget-alone", "server", "two answer 500, breakers never open"),
)
_PARTIAL: Final = (("partial-fallback", "fallback"), ("partial-balance", "balance"))
#: A brown-out: more calls fail than breakers stand, everywhere. Six calls would answer 95 % of the requests;
#: breakers that know no panic leave 2 %.
_BROWN_OUT: Final = 0.6
_LEAST_OF_BROWN_OUT: Final = 80.0


@dataclass(frozen=True, slots=True)
class Options:
    """rate: requests a second. outage: seconds. partial: requests of each partial fault."""

    rate: int = 200
    outage: float = 60.0
    partial: int = 100_000
    share: float = 0.3
    seed: int = 1
    smoke: bool = False


def bench(options: Options) -> Report:
    """All worlds."""
    report = Report(
        f"outages of {options.outage:g} s and faults of {options.share:.0%}, {options.rate} requests/s "
        f"(virtual time, seed {options.seed})",
        judged=not options.smoke,
    )
    for route, failure, what in _OUTAGES:
        _outage(report, options, route, failure, what)
    for route, kind in _PARTIAL:
        _partial(report, options, route, kind, options.share, LEAST_ANSWERED)
    fewer = replace(options, partial=options.partial // 5)
    for route, kind in _PARTIAL:
        _partial(report, fewer, route, kind, _BROWN_OUT, _LEAST_OF_BROWN_OUT)
    return report


def _outage(report: Report, options: Options, route: str, failure: FailureClass, what: str) -> None:
    fault = Fault(failure, _LEAD, _LEAD + options.outage)
    seconds = fault.end + (_REST if not options.smoke else 5.0)
    count = play(route, fault, rate=options.rate, seconds=seconds, seed=options.seed)
    note = f"{count.attempts:,} for {count.requests:,} requests"
    report.add(f"{what}: attempts a request", _mean(count), "", at_most=MOST_ATTEMPTS, note=note)
    back = max(0.0, count.last_failed - fault.end)
    report.add(f"{what}: last failure after the end", back, "s", at_most=MOST_RECOVERY_S)


def _partial(report: Report, options: Options, route: str, kind: str, share: float, least: float) -> None:
    seconds = options.partial / options.rate
    fault = Fault("server", 0.0, seconds, share)
    count = play(route, fault, rate=options.rate, seconds=seconds, seed=options.seed)
    name = f"{share:.0%} of calls fail, {kind} of two"
    answered = 100 * count.answered / max(1, count.requests)
    note = f"{count.requests - count.answered:,} of {count.requests:,} failed"
    report.add(f"{name}: answered", answered, "%", at_least=least, note=note)
    report.add(f"{name}: attempts a request", _mean(count), "")


def _mean(count: Count) -> float:
    return count.attempts / max(1, count.requests)
