"""Timeouts that can never end a call, because a shorter one always does before."""

from __future__ import annotations

from engine.compiler.checks.retry_classes import call_options
from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.diagnostics import Related
from engine.spec.call import CallOptions, Timeout
from engine.spec.route import Route
from engine.units import show_duration

#: (the longer one, the one that ends the call before): what runs inside what.
_PAIRS = (("connect", "first_token"), ("connect", "total"), ("first_token", "total"), ("idle", "total"))


def check(subject: Subject) -> None:
    for path, spec in call_options(subject):
        if spec.timeout is None:
            continue
        _within(subject, (*path, "timeout"), spec.timeout)
        if isinstance(spec, Route):
            _beyond_route(subject, path, spec, spec.timeout)


def _within(subject: Subject, path: Path, timeout: Timeout) -> None:
    for long, short in _PAIRS:
        mine, ends = getattr(timeout, long), getattr(timeout, short)
        if mine is not None and ends is not None and mine >= ends:
            _never(subject, (*path, long), mine, (*path, short), ends)
            return


def _beyond_route(subject: Subject, path: Path, spec: CallOptions, timeout: Timeout) -> None:
    ceiling = spec.per_request.time if isinstance(spec, Route) and spec.per_request is not None else None
    if ceiling is not None and timeout.total is not None and timeout.total >= ceiling:
        place = (*path, "per_request", "time")
        _never(subject, (*path, "timeout", "total"), timeout.total, place, ceiling)


def _never(subject: Subject, path: Path, mine: int, other: Path, ends: int) -> None:
    subject.out.add(
        "W237",
        f"`{path[-1]}: {show_duration(mine)}` never ends a call: `{other[-1]}: {show_duration(ends)}` does "
        "before",
        subject.document.span(path),
        help="make it shorter than that, or remove it",
        related=[Related("this one", subject.document.span(other))],
    )
