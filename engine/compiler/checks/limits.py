"""Limits that nothing counts in, that no request fits, or that do not count what they seem to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.expr import fields_read
from engine.compiler.lower_jumps import attached
from engine.diagnostics import Related
from engine.kinds.outline import reached
from engine.plan.money import Limit
from engine.plan.types import Route
from engine.units import show_count, show_duration


@dataclass(frozen=True, slots=True)
class _Named:
    """A limit where something names it. routes: those whose requests may count in it there."""

    limit: Limit
    path: Path
    routes: tuple[str, ...]


def check(subject: Subject) -> None:
    clients, deployments = tuple(_clients(subject)), tuple(_deployments(subject))
    _attached(subject)
    _partitions(subject)
    for each in clients:
        _never_fits(subject, each)
        _waits_too_long(subject, each)
    for each in deployments:
        _of_deployments(subject, each, clients)
        _no_call_fits(subject, each)
    if not subject.settings.state.startswith("redis"):
        _counted_here(subject)


def _clients(subject: Subject) -> Iterator[_Named]:
    """Limits of clients' requests: of routes, and of whatever lays them under routes."""
    spec, every = subject.spec, tuple(sorted(subject.spec.routes))
    clients = (spec.keys.clients if spec.keys is not None else None) or {}
    holders: list[tuple[Path, Any, tuple[str, ...]]] = [
        *((("routes", name), route, (name,)) for name, route in sorted(spec.routes.items())),
        *((("require", name), floor, every) for name, floor in sorted(spec.require.items())),
        *((("groups", name), group, every) for name, group in sorted(spec.groups.items())),
        *((("keys", "clients", name), client, every) for name, client in sorted(clients.items())),
    ]
    for path, holder, routes in holders:
        yield from _named(subject, path, holder.limits, routes)


def _deployments(subject: Subject) -> Iterator[_Named]:
    reaches = {name: reached(subject.linked(name).start) for name in sorted(subject.spec.routes)}
    for name, deployment in sorted(subject.spec.deployments.items()):
        routes = tuple(route for route, places in reaches.items() if name in places)
        yield from _named(subject, ("deployments", name), deployment.limits, routes)


def _named(
    subject: Subject, path: Path, names: tuple[str, ...] | None, routes: tuple[str, ...]
) -> Iterator[_Named]:
    for index, name in enumerate(names or ()):
        limit = subject.lowered.money.limits.get(name)
        if limit is not None:
            yield _Named(limit, (*path, "limits", index), routes)


def _attached(subject: Subject) -> None:
    for name in sorted(subject.spec.limits.keys() - attached(subject.spec, "limits")):
        subject.out.add(
            "N271",
            f"no file names the limit `{name}`",
            subject.document.key_span(("limits", name)),
            help="name it in the `limits` of a route, a group, a key or a deployment; keys that are kept in "
            "the state store may",
        )


def _partitions(subject: Subject) -> None:
    """What a user wrote is in no key of a store, no message and no figure."""
    for section in ("budgets", "limits"):
        for name in sorted(getattr(subject.spec, section)):
            path: Path = (section, name, "per")
            expr = subject.expressions.get(path)
            if expr is not None and "request.text" in fields_read(expr):
                subject.out.add(
                    "E273",
                    "a partition by `request.text` would keep what users write, as its name",
                    subject.document.span(path),
                    help="take something that says who asks or what for: `key.id`, `request.user`, "
                    "`request.model`",
                )


# --- what never fits


def _most(limit: Limit) -> int | None:
    """Tokens that one request may use at most; None: tokens are not limited."""
    rate = limit.tokens
    return None if rate is None else rate.burst if rate.shape == "bucket" else rate.amount


def _output(subject: Subject, route: Route, deployment: str | None = None) -> int:
    """Tokens that are reserved for an answer where the client names no `max_tokens`."""
    lowered = subject.lowered.deployments
    places = reached(subject.linked(route.name).start) if deployment is None else (deployment,)
    models = max((lowered[each].facts.output or 0 for each in places if each in lowered), default=0)
    own = route.admit.output
    return models if own is None else own if deployment is None or not models else min(own, models)


def _never_fits(subject: Subject, named: _Named) -> None:
    """A request that is larger than the limit ever gets is turned away for good, whenever it comes."""
    most, limit = _most(named.limit), named.limit
    if most is None or limit.use is not None:
        return
    for name in named.routes:
        route = subject.lowered.routes[name]
        if "chat" not in route.match.operations:
            continue
        output, given = _output(subject, route), route.admit.input
        where = ("routes", name, "admit") if route.admit.output is not None else ("routes", name)
        related = [Related("this route", subject.document.key_span(where))]
        if output >= most:
            subject.out.add(
                "E270",
                f"`{limit.name}` never has room for a request of `{name}`: it has {show_count(most)} tokens "
                f"at most, and an answer alone may take {show_count(output)}",
                subject.document.span(named.path),
                help="write `admit: {output: ...}` on the route, or give the limit's `tokens` more at once "
                "(`burst`)",
                related=related,
            )
        elif given is not None and output + given > most:
            subject.out.add(
                "W270",
                f"`{limit.name}` never has room for the largest requests that `{name}` admits: it has "
                f"{show_count(most)} tokens at most, and they may take {show_count(given)} and "
                f"{show_count(output)}",
                subject.document.span(named.path),
                help=f"admit at most {show_count(most - output)} of input, or give the limit's `tokens` more "
                "at once (`burst`)",
                related=related,
            )


def _no_call_fits(subject: Subject, named: _Named) -> None:
    most, deployment = _most(named.limit), str(named.path[1])
    for name in named.routes if most is not None else ():
        output = _output(subject, subject.lowered.routes[name], deployment)
        if most is not None and output >= most:
            subject.out.add(
                "W270",
                f"`{named.limit.name}` never has room for a call of `{deployment}`: it has "
                f"{show_count(most)} tokens at most, and an answer alone may take {show_count(output)}",
                subject.document.span(named.path),
                help="write `admit: {output: ...}` on the route, or give the limit's `tokens` more at once "
                "(`burst`)",
                related=[Related("this route", subject.document.key_span(("routes", name)))],
            )


def _waits_too_long(subject: Subject, named: _Named) -> None:
    limit = named.limit
    for name in named.routes if limit.wait_ms else ():
        ends = subject.lowered.routes[name].per_request.time_ms
        if ends is not None and limit.wait_ms >= ends:
            subject.out.add(
                "W259",
                f"`queue: {show_duration(limit.wait_ms)}` of `{limit.name}` leaves no time to answer: `time: "
                f"{show_duration(ends)}` of `{name}` ends the request by then",
                subject.document.span(("limits", limit.name, "on_exceed", "queue")),
                help="make it shorter than that",
            )


# --- what it counts


def _of_deployments(subject: Subject, named: _Named, clients: tuple[_Named, ...]) -> None:
    """A limit counts requests or calls; and a deployment without room is skipped, whatever it says."""
    limit, where = named.limit, subject.document.span(named.path)
    other = next((each for each in clients if each.limit is limit), None)
    if other is not None:
        subject.out.add(
            "E271",
            f"`{limit.name}` would count clients' requests and calls to `{named.path[1]}` as one",
            where,
            help="write two limits",
            related=[Related("requests count in it here", subject.document.span(other.path))],
        )
        return
    for key, said in (("on_exceed", limit.on_exceed != "reject"), ("headers", limit.told)):
        if said and key in subject.spec.limits[limit.name].model_fields_set:
            subject.out.add(
                "W272",
                f"`{key}` of `{limit.name}` does nothing: it counts calls to a deployment, which is skipped "
                "where it has no room",
                subject.document.key_span(("limits", limit.name, key)),
                help="remove it",
                related=[Related("calls count in it here", where)],
            )


def _counted_here(subject: Subject) -> None:
    """Nobody else sees the counts of this process, or of this host."""
    memory = subject.settings.state == "memory"
    apart = "process" if memory else "host"
    for name in sorted(subject.lowered.money.limits):
        spec = subject.spec.limits[name]
        if spec.scope == "host":
            continue
        subject.out.add(
            "N270",
            f"`{name}` is counted per {apart}: `state: {'memory' if memory else 'sqlite'}` is not shared",
            subject.document.span(("limits", name, "scope"))
            if spec.scope is not None
            else subject.document.key_span(("limits", name)),
            help=f"each {apart} lets so much through; `state: redis://HOST:6379/0` counts over all, and "
            "`scope: host` says that it is meant",
        )
