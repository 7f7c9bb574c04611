"""What in a client's body only its own format can carry: the fields that its dialect's `native_only` names.

A name is a field (`previous_response_id`) or a dotted path through maps and lists with the value that it
must have there (`input.type=item_reference`). `false` and `null` ask for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Find = Callable[[Mapping[str, Any]], str | None]


def bind(names: tuple[str, ...]) -> Find:
    """The function that gives the first of these names that a body has, as `input.type=item_reference`."""
    plain = tuple(name for name in names if "." not in name)
    deep = tuple((name, *_split(name)) for name in names if "." in name)

    fields = frozenset((*plain, *(steps[0] for _, steps, _ in deep)))

    def find(body: Mapping[str, Any]) -> str | None:
        if fields.isdisjoint(body):
            return None
        for name in plain:
            if body.get(name) not in (None, False):
                return name
        for name, steps, word in deep:
            if any(found == word if word else found not in (None, False) for found in values(body, steps)):
                return name
        return None

    return find


def first_field(name: str) -> str:
    """The field of the body that a name begins with."""
    return name.partition("=")[0].partition(".")[0]


def _split(name: str) -> tuple[tuple[str, ...], str]:
    path, _, word = name.partition("=")
    return tuple(path.split(".")), word


def values(value: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    """What stands at a path through maps; of lists, in any of their items."""
    if isinstance(value, list):
        for item in value:
            yield from values(item, steps)
    elif not steps:
        yield value
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from values(value[steps[0]], steps[1:])
