"""What a template reads again and again of the same map: looked up once, where the map is bound.

`message.content`, `message.refusal`, `message.tool_calls` each ask whether `message` is a map at all. Where
`LEAST` of such reads or more are sure to be made, `templates` keeps the map in a variable of its own, an
empty one where there is none, and each read is one look-up.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

#: So many reads are worth a variable.
LEAST: Final = 3


def shared_owners(ir: Any, number: int) -> list[Any]:
    """What of local variable `number` is read from so often: the variable itself, or entries of it."""
    found: Counter[str] = Counter()
    _count(ir, number, found)
    # The variable first: its entries are read of what it is then.
    return sorted((json.loads(text) for text, times in found.items() if times >= LEAST), key=len)


def key_of(owner: Any) -> str:
    """How an owner is known again."""
    return json.dumps(owner)


def _count(ir: Any, number: int, found: Counter[str]) -> None:
    """Reads that are made whatever the data are: not those in branches, nor in the bodies of loops."""
    if not isinstance(ir, list) or not ir:
        return
    tag = ir[0]
    if tag in ("I", "W", "?"):
        _count(ir[1], number, found)
        return
    if tag == "F":
        _count(ir[1]["in"], number, found)
        return
    if tag == "g" and _of(ir[1], number):
        found[key_of(ir[1])] += 1
    for part in ir:
        _count(part, number, found)


def is_of(key: str, number: int) -> bool:
    """Whether the owner of this key is the variable, or an entry of it."""
    return _of(json.loads(key), number)


def _of(owner: Any, number: int) -> bool:
    local = ["l", number]
    return bool(owner == local or (owner[0] in ("g", "f") and owner[1] == local))
