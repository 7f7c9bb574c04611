"""A plan for people: every route as a tree, what it can cost at worst, and where its data may go.

Built from the plan alone, so `engine plan` shows what runs and not what somebody meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine import units
from engine.compiler.overspend import Counting
from engine.explain import budget_view, limits_view, people_view, price_book
from engine.kinds.balance import Balance
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade, Check
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.outline import Worst, edges, reached, worst
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.split import Split
from engine.kinds.use import Use
from engine.plan.link import link
from engine.plan.plan import Plan
from engine.plan.types import Breaker, Call, Concurrent, Deployment, Node, Route
from engine.plan.values import Expr
from engine.policies import failures
from engine.spec import defaults


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route's figures, after its own ceilings; `time_ms` None = no limit. `copies`: calls of mirrors."""

    name: str
    models: tuple[str, ...]
    calls: int
    uncapped_calls: int
    copies: int
    time_ms: int | None
    deployments: tuple[str, ...]
    regions: tuple[str, ...]


def _wait(bounds: Concurrent | None) -> int:
    """How long a place may be waited for."""
    return 0 if bounds is None else bounds.wait_ms


def linked(plan: Plan, name: str) -> Route:
    """The route with named nodes in place and every target's options complete."""
    return link(plan.route(name), plan.node, lambda deployment: plan.deployment(deployment).call)


def view(plan: Plan, name: str) -> RouteView:
    """The figures of one route."""
    route = linked(plan, name)
    most = worst(route.start, wait=lambda name: _wait(plan.deployment(name).concurrent))
    waits = _wait(route.concurrent) + limits_view.wait_ms(plan, route.limits)
    most = Worst(time_ms=waits).then(most)
    ceilings = route.per_request
    calls = most.calls if ceilings.calls is None else min(most.calls, ceilings.calls)
    times = [t for t in (most.time_ms, ceilings.time_ms) if t is not None]
    deployments = reached(route.start)
    regions = sorted({plan.deployment(d).residency for d in deployments})
    return RouteView(
        name,
        route.match.models,
        calls,
        most.calls,
        most.copies,
        min(times, default=None),
        deployments,
        tuple(regions),
    )


def show(plan: Plan, routes: tuple[str, ...] | None = None, where: Counting | None = None) -> str:
    """The whole plan, or some of its routes, as text; `where` budgets are counted, if that is to be told."""
    names = sorted(plan.manifest.routes) if routes is None else list(routes)
    manifest = plan.manifest
    counts = (
        _count(len(manifest.routes), "route"),
        _count(len(manifest.deployments), "deployment"),
        _count(len(manifest.providers), "provider"),
    )
    head = f"revision {plan.revision}\n{', '.join(counts)}\n{_USUAL}"
    found = {deployment for name in names for deployment in reached(linked(plan, name).start)}
    book = price_book.show(plan, sorted(found))
    budgets = [] if where is None or routes is not None else budget_view.show(plan, where)
    people = people_view.show(plan) if routes is None else []
    shown = ("\n".join(_route(plan, name)) for name in names)
    return "\n\n".join([head, *shown, *people, *budgets, book])


def _route(plan: Plan, name: str) -> Iterator[str]:
    route = linked(plan, name)
    seen = view(plan, name)
    operations = "" if route.match.operations == ("chat",) else f"  for {', '.join(route.match.operations)}"
    when = f"  when {route.match.when.source}" if route.match.when else ""
    yield f"route {name}  takes {', '.join(route.match.models)}{operations}{when}"
    yield from ("  " + line for line in _tree(plan, route.start))
    yield f"  worst case: {_calls(seen, route)}, {_time(seen)}{price_book.worst(plan, route)}"
    if route.stream.switch_until == "complete":
        yield "  stream: the client sees nothing before the end (switch_until: complete)"
    elif route.stream.on_cut == "continue":
        able = [name for name in reached(route.start) if plan.deployment(name).facts.goes_on]
        who = (
            f"is gone on with at {', '.join(able)}"
            if able
            else "ends with an error: none has `prefill` and `stream`"
        )
        yield f"  stream: one that breaks {who} (on_cut: continue)"
    yield from ("  " + line for line in limits_view.lines(plan, route.limits))
    if route.concurrent is not None:
        yield f"  open at a time: {_places(route.concurrent)}"
    if route.priority is not None or route.fair_by is not None:
        order = f"by priority {route.priority.source}, " if route.priority is not None else ""
        turns = "the client key" if route.fair_by is None else route.fair_by.source
        yield f"  who waits: {order}in turns by {turns}"
    if route.budgets:
        yield f"  counts in: {', '.join(route.budgets)}"
    admitted = _admitted(route)
    if admitted:
        yield f"  admits: {admitted}"
    allowed = f" (allowed: {', '.join(route.residency)})" if route.residency is not None else ""
    yield f"  reaches: {', '.join(seen.regions) or 'nobody'}{allowed}"


def _places(bounds: Concurrent) -> str:
    """`4, then 100 wait up to 2s`."""
    if not bounds.queue:
        return f"{bounds.most}"
    return f"{bounds.most}, then {bounds.queue} wait up to {units.show_duration(bounds.wait_ms)}"


def _calls(seen: RouteView, route: Route) -> str:
    text = _count(seen.calls, "call")
    if route.per_request.calls is not None and seen.uncapped_calls > route.per_request.calls:
        text += f" (per_request.calls; {seen.uncapped_calls} without it)"
    if seen.copies:
        text += f", and {_count(seen.copies, 'call')} of mirrored copies"
    return text


def _time(seen: RouteView) -> str:
    return "no limit of time" if seen.time_ms is None else _long(seen.time_ms)


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
        label = f"{edge.label}: " if edge.label else ""
        yield f"{'└─' if last else '├─'} {label}{next(lines)}"
        yield from (("   " if last else "│  ") + line for line in lines)


def title(node: Node) -> str:
    """A node in a few words: `use gpt`, `fallback`, `balance by latency, 2 tries`."""
    match node:
        case Use():
            return f"use {node.deployment}"
        case Balance():
            kept = _sticky(node.sticky.by if node.sticky else None)
            tries = f", {_count(node.tries, 'try', 'tries')}" if node.tries is not None else ""
            return f"balance by {_rank(node)}{tries}{kept}"
        case Cache():
            return f"cache {_kept(node)}"
        case Classify():
            return f"classify {node.name} by {node.via}: {_labels(node)}"
        case Split():
            return f"split{_sticky(node.sticky)}"
        case Cascade():
            return f"cascade, goes on at {', '.join(_check(check) for check in node.checks)}" + (
                "" if node.deliver else "; fails where the last does not pass"
            )
        case Ensemble():
            return f"ensemble, {node.merge}"
        case Reject():
            return f"reject {node.code} ({node.status})"
        case Respond():
            text = " ".join(node.text.split())
            return f'respond "{text if len(text) <= 40 else text[:37] + "..."}"'
        case _:
            return node.kind


def _sticky(by: Expr | None) -> str:
    return "" if by is None else f", sticky by {by.source}"


def _kept(node: Cache) -> str:
    """`exact 1h, semantic above 0.95 for 1h, shared by key.org`."""
    parts = [] if node.exact_ms is None else [f"exact {units.show_duration(node.exact_ms)}"]
    if node.semantic is not None:
        ttl = units.show_duration(node.semantic.ttl_ms)
        parts.append(f"semantic above {node.semantic.above:g} for {ttl}")
    within = "" if not node.within_org or node.scope_by.source == "key.org" else " within an organisation"
    return f"{', '.join(parts)}, shared by {node.scope_by.source}{within}"


def _labels(node: Classify) -> str:
    """`code, prose else` or `short up to 2000, long else`."""
    bounds = (
        f"{label.name} up to {label.most:g}" if label.most is not None else label.name
        for label in node.labels
    )
    return ", ".join((*bounds, f"{node.otherwise} else"))


def _rank(node: Balance) -> str:
    score = node.score
    if score is None:
        return node.rank
    if score.by is not None:
        return f"score {score.by.source}"
    parts = (("quality", score.quality), ("cost", score.cost), ("speed", score.speed))
    return "score of " + ", ".join(f"{name} {weight:g}" for name, weight in parts if weight)


def _check(check: Check) -> str:
    """One reason of a cascade to go on, as it is written."""
    if check.condition is not None:
        return check.condition.source
    return check.word or f"a score below {check.below:g}"


def _options(plan: Plan, node: Node) -> str:
    if isinstance(node, Fallback | Balance | Cascade) and node.call.failures != _MOVES_ON:
        return f"  after {_classes(node.call.failures or ())}"
    if not isinstance(node, Use):
        return ""
    deployment = plan.deployment(node.deployment)
    parts = [_where(deployment), *_call(node.call)]
    if deployment.concurrent is not None:
        parts.append(f"open at a time: {_places(deployment.concurrent)}")
    parts += limits_view.quota(plan, deployment.limits)
    parts += _health(deployment)
    return "  " + "; ".join(parts)


def _health(deployment: Deployment) -> Iterator[str]:
    """What its breaker and probe have beside the printed defaults."""
    if deployment.breaker != defaults.BREAKER:
        yield f"breaker {_breaker(deployment.breaker)}"
    if (probe := deployment.probe) is not None:
        yield f"probed every {units.show_duration(probe.every_ms)} without a good call"


def _breaker(breaker: Breaker) -> str:
    sample = units.show_sample(breaker.calls, breaker.window_ms)
    pause = units.show_duration(breaker.pause_ms)
    return f"opens at {units.show_ratio(breaker.open_at)} of {sample}, for {pause}"


def _where(deployment: Deployment) -> str:
    where = deployment.residency
    if deployment.region not in (where, "default"):
        where = f"{deployment.region} ({where})"
    return f"{deployment.provider} {deployment.model}, {where}"


def _call(call: Call) -> Iterator[str]:
    """What differs from the printed defaults: the same few words at every target would hide it."""
    if (call.retry_extra, call.retry_failures) != (defaults.RETRY_EXTRA, _RETRIED):
        extra = call.retry_extra or 0
        yield f"{extra} more on {_classes(call.retry_failures or ())}" if extra else "no retry"
    times = (
        ("connect", call.connect_ms, defaults.CONNECT_MS),
        ("first token", call.first_token_ms, defaults.FIRST_TOKEN_MS),
        ("idle", call.idle_ms, defaults.IDLE_MS),
        ("total", call.total_ms, defaults.TOTAL_MS),
    )
    told = [f"{name} {units.show_duration(ms)}" for name, ms, usual in times if ms not in (None, usual)]
    if call.collect:
        told.append("always streamed upstream")
    if told:
        yield ", ".join(told)
    if call.params:
        yield "params " + ", ".join(f"{key}={value}" for key, value in sorted(call.params.items()))


_MOVES_ON: Final = failures.expand(failures.MOVES_ON)
_RETRIED: Final = failures.expand(failures.RETRIED)
_USUAL: Final = (
    f"where nothing is said: {defaults.RETRY_EXTRA} more on {', '.join(failures.RETRIED)}, connect "
    f"{defaults.PRINTED['timeout.connect']}, first token {defaults.PRINTED['timeout.first_token']}, idle "
    f"{defaults.PRINTED['timeout.idle']}, total {units.show_duration(defaults.TOTAL_MS)} "
    f"({units.show_duration(defaults.WHOLE_MS)} for a vendor's answer in one piece), a breaker that "
    f"{_breaker(defaults.BREAKER)}"
)


def _classes(names: tuple[str, ...]) -> str:
    """Failure classes, with the groups that are complete by their names."""
    for group, members in failures.GROUPS.items():
        if set(members) <= set(names):
            names = (group, *(name for name in names if name not in members))
    return ", ".join(names)


def _long(ms: int) -> str:
    """A duration for people: `20m 0.4s`."""
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{rest / 1000:g}s" if rest else "",
    ]
    return " ".join(part for part in parts if part) or "0s"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
