"""A plan for people: every route as a tree, what it can cost at worst, and where its data may go.

Built from the plan alone, so `engine plan` shows what runs and not what somebody meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import units
from engine.kinds.balance import Balance
from engine.kinds.outline import edges, reached, worst
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.use import Use
from engine.plan.link import link
from engine.plan.plan import Plan
from engine.plan.types import Call, Deployment, Node, Route


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route's figures, after its own ceilings; `time_ms` None = no limit."""

    name: str
    models: tuple[str, ...]
    calls: int
    uncapped_calls: int
    time_ms: int | None
    deployments: tuple[str, ...]
    regions: tuple[str, ...]


def linked(plan: Plan, name: str) -> Route:
    """The route with named nodes in place and every target's options complete."""
    return link(plan.route(name), plan.node, lambda deployment: plan.deployment(deployment).call)


def view(plan: Plan, name: str) -> RouteView:
    """The figures of one route."""
    route = linked(plan, name)
    most = worst(route.start)
    ceilings = route.per_request
    calls = most.calls if ceilings.calls is None else min(most.calls, ceilings.calls)
    times = [t for t in (most.time_ms, ceilings.time_ms) if t is not None]
    deployments = reached(route.start)
    regions = sorted({plan.deployment(d).residency for d in deployments})
    return RouteView(
        name, route.match.models, calls, most.calls, min(times, default=None), deployments, tuple(regions)
    )


def show(plan: Plan, routes: tuple[str, ...] | None = None) -> str:
    """The whole plan, or some of its routes, as text."""
    names = sorted(plan.manifest.routes) if routes is None else list(routes)
    manifest = plan.manifest
    head = (
        f"revision {plan.revision}\n{_count(len(manifest.routes), 'route')}, "
        f"{_count(len(manifest.deployments), 'deployment')}, {_count(len(manifest.providers), 'provider')}"
    )
    return "\n\n".join([head, *("\n".join(_route(plan, name)) for name in names)])


def _route(plan: Plan, name: str) -> Iterator[str]:
    route = linked(plan, name)
    seen = view(plan, name)
    operations = "" if route.match.operations == ("chat",) else f"  for {', '.join(route.match.operations)}"
    when = f"  when {route.match.when.source}" if route.match.when else ""
    yield f"route {name}  takes {', '.join(route.match.models)}{operations}{when}"
    yield from ("  " + line for line in _tree(plan, route.start))
    yield f"  worst case: {_calls(seen, route)}, {_time(seen)}"
    if route.stream.switch_until == "complete":
        yield "  stream: the client sees nothing before the end (switch_until: complete)"
    admitted = _admitted(route)
    if admitted:
        yield f"  admits: {admitted}"
    allowed = f" (allowed: {', '.join(route.residency)})" if route.residency is not None else ""
    yield f"  reaches: {', '.join(seen.regions) or 'nobody'}{allowed}"


def _calls(seen: RouteView, route: Route) -> str:
    text = _count(seen.calls, "call")
    if route.per_request.calls is not None and seen.uncapped_calls > route.per_request.calls:
        text += f" (per_request.calls; {seen.uncapped_calls} without it)"
    return text


def _time(seen: RouteView) -> str:
    return "no limit of time" if seen.time_ms is None else units.show_duration(seen.time_ms)


def _admitted(route: Route) -> str:
    admit = route.admit
    parts = [
        f"input {units.show_count(admit.input)}" if admit.input is not None else "",
        f"output {units.show_count(admit.output)}" if admit.output is not None else "",
        "tools" if admit.tools else "",
        "json_schema" if admit.json_schema else "",
        f"images {admit.images}" if admit.images else "",
        f"audio {admit.audio}" if admit.audio else "",
        f"files {admit.files}" if admit.files else "",
    ]
    return ", ".join(part for part in parts if part)


def _tree(plan: Plan, node: Node) -> Iterator[str]:
    yield title(node) + _options(plan, node)
    below = edges(node)
    for index, edge in enumerate(below):
        last = index == len(below) - 1
        lines = _tree(plan, edge.node)
        label = f"{_edge(edge.label)}: " if edge.label else ""
        yield f"{'└─' if last else '├─'} {label}{next(lines)}"
        yield from (("   " if last else "│  ") + line for line in lines)


def _edge(label: str) -> str:
    return label if label == "else" or label.startswith("weight ") else f"when {label}"


def title(node: Node) -> str:
    """A node in a few words: `use gpt`, `fallback`, `balance by latency, 2 tries`."""
    match node:
        case Use():
            return f"use {node.deployment}"
        case Balance():
            tries = f", {_count(node.tries, 'try', 'tries')}" if node.tries is not None else ""
            return f"balance by {node.rank}{tries}"
        case Reject():
            return f"reject {node.code} ({node.status})"
        case Respond():
            text = " ".join(node.text.split())
            return f'respond "{text if len(text) <= 40 else text[:37] + "..."}"'
        case _:
            return node.kind


def _options(plan: Plan, node: Node) -> str:
    if not isinstance(node, Use):
        return ""
    deployment = plan.deployment(node.deployment)
    parts = [_where(deployment), *_call(node.call)]
    return "  " + "; ".join(parts)


def _where(deployment: Deployment) -> str:
    region = "" if deployment.region == deployment.residency else f" in {deployment.region}"
    return f"{deployment.provider} {deployment.model}{region}, {deployment.residency}"


def _call(call: Call) -> Iterator[str]:
    if call.retry_extra and call.retry_failures != ():
        yield f"{call.retry_extra} more on {', '.join(call.retry_failures or ())}"
    times = (
        ("connect", call.connect_ms),
        ("first token", call.first_token_ms),
        ("idle", call.idle_ms),
        ("total", call.total_ms),
    )
    known = [f"{name} {units.show_duration(ms)}" for name, ms in times if ms is not None]
    if known:
        yield ", ".join(known)
    if call.params:
        yield "params " + ", ".join(f"{key}={value}" for key, value in sorted(call.params.items()))


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
