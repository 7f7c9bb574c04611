"""Words about waiting where nobody waits, and waits that the deadline always ends first."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.diagnostics import Related
from engine.kinds.outline import reached
from engine.spec.route import Route
from engine.units import show_duration


def check(subject: Subject) -> None:
    for name, route in sorted(subject.spec.routes.items()):
        for key in ("priority", "fair_by"):
            if getattr(route, key) is not None and not _queues(subject, name, route):
                subject.out.add(
                    "W258",
                    f"`{key}` decides nothing: neither the route nor a deployment it reaches has a queue",
                    subject.document.key_span(("routes", name, key)),
                    help="give one a queue, such as `concurrent: {most: 20, queue: 100}`, or remove it",
                )
        _beyond_deadline(subject, name, route)


def _queues(subject: Subject, name: str, route: Route) -> bool:
    if route.concurrent is not None and route.concurrent.queue is not None:
        return True
    places = (subject.spec.deployments.get(each) for each in reached(subject.linked(name).start))
    return any(
        place is not None and place.concurrent is not None and place.concurrent.queue is not None
        for place in places
    )


def _beyond_deadline(subject: Subject, name: str, route: Route) -> None:
    wait = route.concurrent.wait if route.concurrent is not None else None
    ends = route.per_request.time if route.per_request is not None else None
    if wait is not None and ends is not None and wait >= ends:
        place = ("routes", name, "per_request", "time")
        subject.out.add(
            "W259",
            f"`wait: {show_duration(wait)}` leaves no time to answer: `time: {show_duration(ends)}` ends the "
            "request by then",
            subject.document.span(("routes", name, "concurrent", "wait")),
            help="make it shorter than that",
            related=[Related("this one", subject.document.span(place))],
        )
