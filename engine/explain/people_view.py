"""Who asks, and what holds for whom, as `engine plan` prints it: client keys, groups, policies by key."""

from __future__ import annotations

from collections.abc import Iterator

from engine.plan.people import Floor, Group
from engine.plan.plan import Plan
from engine.units import show_count, show_duration, show_money

#: So many names of clients are printed.
_NAMES = 12


def show(plan: Plan) -> list[str]:
    """Paragraphs; none where the plan says nothing of who asks."""
    people = plan.people()
    lines = []
    if people.clients:
        names = [client.name for client in people.clients]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        lines.append(f"client keys in Git  {', '.join(names[:_NAMES])}{more}")
    lines += [_line("group", each, _group(each)) for each in people.groups]
    lines += [_line("policy", each, _floor(each)) for each in people.floors]
    return ["\n".join(lines)] if lines else []


def _line(noun: str, each: Group | Floor, said: Iterator[str]) -> str:
    if each.when is not None:
        whom = f"  when {each.when.source}"
    elif noun == "policy":
        whom = "  for all"
    else:
        whom = "  for keys in no other" if each.name == "default" else "  for keys that name it"
    return f"{noun} {each.name}{whom}: {'; '.join(said) or 'nothing'}"


def _common(each: Group | Floor) -> Iterator[str]:
    if each.models is not None:
        yield f"models {', '.join(each.models)}"
    if each.residency is not None:
        yield f"data stays in {', '.join(each.residency)}"
    if each.budgets:
        yield f"counts in {', '.join(each.budgets)}"
    if each.limits:
        yield f"limits {', '.join(each.limits)}"


def _group(group: Group) -> Iterator[str]:
    yield from _common(group)
    if group.ips:
        yield f"from {', '.join(group.ips)}"


def _floor(floor: Floor) -> Iterator[str]:
    yield from _common(floor)
    if floor.credentials is not None:
        yield f"credentials {', '.join(floor.credentials)}"
    if floor.explicit:
        yield "no credential of a provider file's"
    if floor.admit is not None:
        bounds = (("input", floor.admit.input), ("output", floor.admit.output))
        said = [f"{name} {show_count(most)}" for name, most in bounds if most is not None]
        said += ["no tools"] if floor.admit.tools is False else []
        yield f"admits {', '.join(said) or 'less'}"
    if floor.per_request is not None:
        most = floor.per_request
        said = [] if most.calls is None else [f"{most.calls} calls"]
        said += [] if most.time_ms is None else [show_duration(most.time_ms)]
        said += [] if most.cost is None else [show_money(most.cost)]
        yield f"a request at most {', '.join(said)}"
