"""`engine bench simulate`: seeds through the deterministic simulator, over all cores.

A run that breaks a promise is told with its seed; `--seed N` runs that one again and prints its log, which is
the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from engine.bench.loop import cores
from engine.bench.report import Report
from engine.simulate.run import Run, run, run_many

#: Seeds that one process simulates before it takes the next ones.
_AT_ONCE = 50
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Options:
    """Which seeds: `count` of them from `first`."""

    count: int = 500
    first: int = 0
    smoke: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    broken: list[Run]
    speed: float
    requests: int
    calls: int


def bench(options: Options) -> Report:
    """Simulate the seeds."""
    report = Report(f"simulator, seeds {options.first} to {options.first + options.count - 1}", judged=True)
    last = options.first + options.count
    starts = range(options.first, last, _AT_ONCE)
    with ProcessPoolExecutor(min(len(cores()), len(starts))) as pool:
        parts = list(pool.map(_part, starts, (min(start + _AT_ONCE, last) for start in starts)))
    bad = [each for part in parts for each in part.broken]
    report.add("requests", sum(part.requests for part in parts), "")
    report.add("calls to vendors", sum(part.calls for part in parts), "")
    report.add("seeds that broke a promise", len(bad), "", at_most=0, note=_told(bad))
    # Of the slowest process: parts run beside one another.
    speed = min(part.speed for part in parts)
    report.add("virtual seconds a second", speed, "", at_least=None if options.smoke else 1000)
    return report


def replay(seed: int) -> Iterator[str]:
    """One seed's log, and what was broken."""
    done = run(seed)
    yield from done.log
    yield f"digest {done.digest}"
    yield from (f"broken: {each}" for each in done.broken)


def _part(first: int, last: int) -> _Part:
    requests = calls = 0

    def count(done: Run) -> None:
        nonlocal requests, calls
        requests += done.requests
        calls += done.calls

    bad, speed = run_many(range(first, last), count)
    return _Part(bad, speed, requests, calls)


def _told(bad: list[Run]) -> str:
    told = [f"seed {each.seed}: {each.broken[0]}" for each in bad[:_SHOWN]]
    more = [f"and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
    return "; ".join(told + more)
