"""The limit of the output in a wire body, under whichever of its format's names the body says it.

A name with dots stands in maps: `options.num_predict`. A map on the way is copied before it is changed,
because a body passed through shares its parts with the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Steps = tuple[str, ...]


class OutputLimit:
    """Makes bodies of one deployment say their limit once.

    Args:
        names: the format's fields for it; the first is the usual one.
        preferred: the one that this model takes; None: the one that the body uses.
    """

    __slots__ = ("_fields", "_preferred", "_usual")

    def __init__(self, names: Sequence[str], preferred: str | None) -> None:
        self._fields = tuple(_steps(name) for name in names)
        self._usual = self._fields[0]
        self._preferred = None if preferred is None else _steps(preferred)

    def set(self, body: dict[str, Any], limit: int | None) -> None:
        """limit: tokens; None: what the body says, if it says any."""
        wanted, value = self._preferred, limit
        for steps in self._fields:
            said = _value(body, steps)
            if said is None:
                continue
            if wanted is None:
                wanted = steps
            if value is None:
                value = said
            if steps != wanted:
                _put(body, steps, None)
        if value is not None:
            _put(body, wanted or self._usual, value)


def _steps(name: str) -> Steps:
    return tuple(name.split("."))


def _value(body: dict[str, Any], steps: Steps) -> Any:
    if len(steps) == 1:
        return body.get(steps[0])
    found: Any = body
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _put(body: dict[str, Any], steps: Steps, value: Any) -> None:
    """Set the field, or with None take it out."""
    *above, last = steps
    for step in above:
        inner = body.get(step)
        body[step] = body = dict(inner) if isinstance(inner, dict) else {}
    if value is None:
        body.pop(last, None)
    else:
        body[last] = value
