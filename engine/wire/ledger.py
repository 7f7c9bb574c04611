"""What a dialect keeps of a canonical request, and what a request loses on its way to one.

The compiler finds out which canonical fields the dialect's `request.write` reads (`made` below) and stores
the result in the plan; at run time a request's own fields are held against it, so that `x-engine-dropped`
names exactly what this request lost. `n`, `seed` and the like are lost in silence nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.wire.operations import AnyRequest, form

#: A client's own field names that can stand in a header, and how many of them are told.
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMES: Final = 20


def made(writes: Mapping[str, Iterable[str]], operation: str = "chat") -> dict[str, str]:
    """The ledger of one operation: canonical field -> `kept`, `renamed`, or `dropped`.

    `writes`: canonical field -> the wire fields whose templates read it.
    """
    ledger: dict[str, str] = {}
    forms = form(operation)
    for name in forms.fields:
        if name in forms.ours:
            continue
        wire = tuple(writes.get(name, ()))
        ledger[name] = "dropped" if not wire else "kept" if name in wire else "renamed"
    return ledger


def loss(ledger: Mapping[str, str], operation: str = "chat") -> Callable[[AnyRequest], tuple[str, ...]]:
    """The function that names what a request loses by being written in this dialect."""
    carried = frozenset(name for name, what in ledger.items() if what != "dropped") | form(operation).ours

    def dropped(request: AnyRequest) -> tuple[str, ...]:
        lost = request.keys() - carried
        if not lost:
            return ()
        return (*sorted(lost - {"extra"}), *extra_names(request))

    return dropped


def extra_names(request: AnyRequest) -> tuple[str, ...]:
    """The fields that a client's format does not name, as a header can tell them: they pass to the same
    format only.
    """
    names = sorted(name for name in request.get("extra", {}) if _NAME.fullmatch(name))
    return tuple(names[:_MOST_NAMES]) if names else ("extra",) if request.get("extra") else ()
