"""`adjust` rules at run time: what a format or a vendor cannot take is dropped, clamped, mapped or refused.

Rules work on a copy, made only along the paths that change: the canonical request is shared by all attempts.
Whatever changed is told, a dropped field by its name (`temperature`), a changed one with its new value
(`temperature=1`), so that `x-engine-dropped` says all that was not carried as the client wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from engine.errors import RequestError
from engine.plan.code import bind_expr
from engine.plan.vendors import Adjust
from engine.wire.canonical import Request

#: A changed value that can stand in a header behind its field's name; others are told as `changed`.
_PLAIN: Final = re.compile(r"[\w.+-]{1,40}", re.ASCII)
_NOWHERE: Final = object()

Edit = Callable[[Any], Any]
Scope = tuple[Any, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]


class BoundAdjust:
    """The rules of an operation or a provider, in order."""

    def __init__(self, rules: Iterable[Adjust]) -> None:
        self._rules = tuple(_Rule(rule) for rule in rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __call__(
        self,
        request: Request,
        facts: Mapping[str, Any],
        target: Mapping[str, Any],
        provider: Mapping[str, Any],
        told: list[str],
    ) -> Request:
        """The request as it may be written, the same object where nothing changes; `told` gets what changed.

        Raises:
            RequestError: a `refuse` rule holds.
        """
        for rule in self._rules:
            if rule.when is None or rule.when(request, facts, target, provider):
                request = rule.apply(request, (facts, target, provider), told)
        return request


class _Rule:
    """One rule as functions."""

    __slots__ = ("_edits", "_refuse", "_why", "when")

    def __init__(self, rule: Adjust) -> None:
        self.when = bind_expr(rule.when) if rule.when is not None else None
        self._refuse = bind_expr(rule.refuse) if rule.refuse is not None else None
        self._why = rule.why or (rule.refuse.source.strip() if rule.refuse is not None else "")
        self._edits: list[tuple[str, tuple[str, ...], Edit]] = [
            *((name, _steps(name), _dropped) for name in rule.drop),
            *((name, _steps(name), _clamp(low, high)) for name, (low, high) in rule.clamp.items()),
            *((name, _steps(name), _mapped(words)) for name, words in rule.map.items()),
        ]

    def apply(self, request: Request, rest: tuple[Any, Any, Any], told: list[str]) -> Request:
        if self._refuse is not None:
            if self._refuse(request, *rest):
                raise RequestError(self._why, code="unsupported")
            return request
        for name, steps, edit in self._edits:
            found: list[Any] = []
            changed = _edited(request, steps, edit, found)
            if found:
                request = cast(Request, changed)
                told.append(_shown(name, found))
        return request


def changed_fields(before: Request, after: Request) -> list[str]:
    """The top-level canonical fields that differ, by identity: rules copy what they change."""
    old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    return [name for name in old.keys() | new.keys() if old.get(name) is not new.get(name)]


def transplant(body: dict[str, Any], source: Mapping[str, Any], steps: Sequence[str]) -> None:
    """Make what stands at `steps` in `body` as it is in `source`: replaced, added, or gone. Maps on the way
    are copied, because the body's own parts are shared with whoever gave it; one that is emptied goes too.
    """
    step, rest = steps[0], steps[1:]
    if not rest:
        if step in source:
            body[step] = source[step]
        else:
            body.pop(step, None)
        return
    inner, other = body.get(step), source.get(step)
    made = dict(inner) if isinstance(inner, dict) else {}
    transplant(made, other if isinstance(other, dict) else {}, rest)
    if made:
        body[step] = made
    elif isinstance(inner, dict):
        del body[step]


def _steps(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _edited(value: Any, steps: Sequence[str], edit: Edit, found: list[Any]) -> Any:
    """`value` with what stands at `steps` edited, lists passed through; `found` gets each new value.

    A map that is emptied by it goes too, so that no half of a setting is left over.
    """
    if isinstance(value, list) and (steps or edit is not _dropped):
        before = len(found)
        made = [_edited(item, steps, edit, found) for item in value]
        return [item for item in made if item is not _NOWHERE] if len(found) > before else value
    if not steps:
        new = edit(value)
        if new is not value and (new is _NOWHERE or new != value):
            found.append(new)
            return new
        return value
    if not isinstance(value, dict) or steps[0] not in value:
        return value
    before = len(found)
    new = _edited(value[steps[0]], steps[1:], edit, found)
    if len(found) == before:
        return value
    if new is _NOWHERE or (isinstance(new, dict) and not new):
        return {key: item for key, item in value.items() if key != steps[0]}
    return {**value, steps[0]: new}


def _dropped(_value: Any) -> Any:
    return _NOWHERE


def _clamp(low: float | None, high: float | None) -> Edit:
    def clamp(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if low is not None and value < low:
            return low
        return high if high is not None and value > high else value

    return clamp


def _mapped(words: Mapping[str, Any]) -> Edit:
    def other(value: Any) -> Any:
        key = (
            str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else str(value)
        )
        if isinstance(value, dict | list) or key not in words:
            return value
        new = words[key]
        return _NOWHERE if new is None else new

    return other


def _shown(name: str, found: list[Any]) -> str:
    """What happened to a field, as it stands in x-engine-dropped."""
    if all(new is _NOWHERE for new in found):
        return name
    first = found[0]
    text = str(first).lower() if isinstance(first, bool) else str(first)
    same = all(new is not _NOWHERE and new == first for new in found)
    return f"{name}={text if same and _PLAIN.fullmatch(text) else 'changed'}"
