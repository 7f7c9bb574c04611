"""What changes from one plan to another, route by route and deployment by deployment.

Compared is what runs, not what is written: routes with their named nodes in place and all inherited options
told, so a change of `defaults` shows at every target that it reaches, and a moved line shows nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from engine import units
from engine.explain.plan_view import linked
from engine.plan.codec import encode
from engine.plan.fate_counters import show_window
from engine.plan.plan import Plan

What = Literal[
    "route",
    "deployment",
    "provider",
    "dialect",
    "budget",
    "limit",
    "key",
    "group",
    "require",
    "keys",
    "settings",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One leaf that differs; `old` or `new` is None where it is not there."""

    path: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.path}: {self.new}"
        if self.new is None:
            return f"- {self.path}: {self.old}"
        return f"~ {self.path}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A thing that was added, removed or changed."""

    what: What
    name: str
    how: Literal["added", "removed", "changed"]
    changes: tuple[Change, ...] = ()

    def as_json(self) -> dict[str, Any]:
        leaves = [{"path": c.path, "old": c.old, "new": c.new} for c in self.changes]
        return {"what": self.what, "name": self.name, "how": self.how, "changes": leaves}


def compare(old: Plan, new: Plan) -> tuple[Difference, ...]:
    """Every difference, routes first."""
    if old.revision == new.revision:
        return ()
    return (
        *_each("route", _routes(old), _routes(new)),
        *_each("deployment", _deployments(old), _deployments(new)),
        *_each("provider", _providers(old), _providers(new)),
        *_each("dialect", _dialects(old), _dialects(new)),
        *_each("budget", _budgets(old), _budgets(new)),
        *_each("limit", _named(old.money().limits.values()), _named(new.money().limits.values())),
        *_each("key", _named(old.people().clients), _named(new.people().clients)),
        *_each("group", _named(old.people().groups), _named(new.people().groups)),
        *_each("require", _named(old.people().floors), _named(new.people().floors)),
        *_each("keys", {"keys": _declared(old)}, {"keys": _declared(new)}),
        *_each("settings", {"engine.yaml": _settings(old)}, {"engine.yaml": _settings(new)}),
    )


def show(differences: tuple[Difference, ...]) -> str:
    """The differences for people."""
    lines: list[str] = []
    for found in differences:
        lines.append(f"{found.what} {found.name}: {found.how}")
        lines += [f"  {change}" for change in found.changes]
    return "\n".join(lines) if lines else "no difference"


def _each(what: What, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Difference(what, name, "added")
        elif name not in new:
            yield Difference(what, name, "removed")
        elif old[name] != new[name]:
            yield Difference(what, name, "changed", tuple(_leaves(old[name], new[name], "")))


def _routes(plan: Plan) -> dict[str, Any]:
    return {name: _plain(encode(linked(plan, name))) for name in plan.manifest.routes}


def _deployments(plan: Plan) -> dict[str, Any]:
    return {name: _plain(encode(plan.deployment(name))) for name in plan.manifest.deployments}


def _providers(plan: Plan) -> dict[str, Any]:
    return {name: _plain(encode(plan.provider(name))) for name in plan.manifest.providers}


def _dialects(plan: Plan) -> dict[str, Any]:
    return {name: _plain(encode(plan.dialect(name))) for name in plan.manifest.dialects}


def _budgets(plan: Plan) -> dict[str, Any]:
    """With limits and windows as they are written."""
    found = _named(plan.money().budgets.values())
    for name, budget in plan.money().budgets.items():
        shown = units.show_money(budget.limit) if budget.measure == "cost" else f"{budget.limit} tokens"
        found[name] |= {"limit": shown, "window": show_window(budget.window)}
    return found


def _named(parts: Iterable[Any]) -> dict[str, Any]:
    return {part.name: _plain(encode(part)) for part in parts}


def _declared(plan: Plan) -> Any:
    """What is said of all keys: tags, organisations, who vouches for them."""
    said = _plain(encode(plan.people()))
    return {name: value for name, value in said.items() if name not in ("clients", "groups", "floors")}


def _settings(plan: Plan) -> Any:
    return _plain(encode(plan.manifest.settings))


def _plain(data: Any) -> Any:
    """Expressions as their text, and no node ids: a place in a file is no difference."""
    if isinstance(data, dict):
        if data.keys() == {"source", "scope", "type", "ir"}:
            return data["source"]
        return {key: _plain(value) for key, value in data.items() if not (key == "id" and "call" in data)}
    if isinstance(data, list):
        return [_plain(item) for item in data]
    return data


def _leaves(old: Any, new: Any, path: str) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inside = f"{path}.{key}" if path else key
            yield from _leaves(old.get(key), new.get(key), inside)
    elif isinstance(old, list) and isinstance(new, list) and _long(old) and _long(new):
        for i in range(max(len(old), len(new))):
            yield from _leaves(
                old[i] if i < len(old) else None, new[i] if i < len(new) else None, f"{path}[{i}]"
            )
    else:
        yield Change(path, _text(old, path), _text(new, path))


def _long(items: list[Any]) -> bool:
    return any(isinstance(item, (dict, list)) for item in items)


def _text(value: Any, path: str) -> str | None:
    if value is None:
        return None
    if path.endswith("_ms") and isinstance(value, int):
        return units.show_duration(value)
    if isinstance(value, dict) and "kind" in value:
        return _node(value)
    if isinstance(value, list):
        return "[" + ", ".join(_text(item, "") or "null" for item in value) + "]"
    return str(value)


def _node(value: dict[str, Any]) -> str:
    name = value.get("deployment") or value.get("code") or value.get("text") or ""
    below = [_node(child) for child in value.get("children", ())]
    inside = f" [{', '.join(below)}]" if below else ""
    return f"{value['kind']} {name}".rstrip() + inside
