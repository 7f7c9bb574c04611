"""`params` over a wire body: maps go into maps, anything else takes the place of what was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def put_over(body: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Set `params` in `body`.

    A map on the way is copied before it is changed: a body passed through shares its parts with the client's.
    """
    for name, value in params.items():
        inner = body.get(name)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            body[name] = inner = dict(inner)
            put_over(inner, value)
        else:
            body[name] = value
