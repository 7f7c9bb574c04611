"""The limit of the output in a wire body, under whichever of its format's names the body says it.

A name with dots stands in maps: `options.num_predict`. A map on the way is copied before it is changed,
because a body passed through shares its parts with the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def set_limit(body: dict[str, Any], names: Sequence[str], preferred: str | None, limit: int | None) -> None:
    """Make `body` say its limit once.

    Args:
        names: the format's fields for it; the first is the usual one.
        preferred: the one that this model takes; None: the one that the body uses.
        limit: tokens; None: what the body says, if it says any.
    """
    said = {name: value for name in names if (value := _value(body, name.split("."))) is not None}
    if limit is None and not said:
        return
    value = limit if limit is not None else next(iter(said.values()))
    wanted = preferred or next(iter(said), names[0])
    for name in said:
        if name != wanted:
            _put(body, name.split("."), None)
    _put(body, wanted.split("."), value)


def _value(body: dict[str, Any], steps: list[str]) -> Any:
    found: Any = body
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _put(body: dict[str, Any], steps: list[str], value: Any) -> None:
    """Set the field, or with None take it out."""
    *above, last = steps
    for step in above:
        inner = body.get(step)
        body[step] = body = dict(inner) if isinstance(inner, dict) else {}
    if value is None:
        body.pop(last, None)
    else:
        body[last] = value
