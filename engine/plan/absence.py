"""When a piece of a template writes nothing: fields of its first parameter of which it needs at least one.

Most fields of a format are in hardly any body. `templates` asks for a run of them at once, and passes over
all of it where a body has none: one look instead of dozens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

#: The parameter that is looked at; what is read of it with `f` is known to be a map.
OWNER: Final = ["p", 0]

#: Entries of a map that are passed over together hang on so many fields at least, and are so many at most.
FEWEST: Final = 5
TOGETHER: Final = 8

Fields = frozenset[str]


def runs(entries: list[Any]) -> Iterator[tuple[Fields | None, list[Any]]]:
    """The entries of a map in order, in runs; one with fields writes nothing where none of them is there."""
    run: list[Any] = []
    fields: Fields = frozenset()
    for entry in [*entries, None]:
        found = None if entry is None or entry[0] != "=" else hangs_on(entry[2])
        if run and (found is None or len(run) == TOGETHER):
            yield (fields if len(fields) >= FEWEST else None), run
            run, fields = [], frozenset()
        if found is not None:
            run.append(entry)
            fields |= found
        elif entry is not None:
            yield None, [entry]


def hangs_on(ir: Any) -> Fields | None:
    """Where the first parameter has none of these fields, the template `ir` writes nothing and raises
    nothing. None: it may write something all the same, as far as is known.
    """
    tag = ir[0]
    if tag == "E":
        return None if ir[2] else _read(ir[1])
    if tag == "C":
        return _read(ir[2])
    if tag == "F":
        return _read(ir[1]["in"])
    if tag == "M":
        entries, keep = ir[1], ir[2]
        if keep or any(entry[0] != "=" for entry in entries):
            return None
        return _all([hangs_on(entry[2]) for entry in entries])
    if tag == "I" and not _demands(ir[1]):
        return _all([hangs_on(branch) for branch in ir[2:] if branch is not None])
    return None


def _read(ir: Any) -> Fields | None:
    """The same of an expression: without these fields its value is absent."""
    tag = ir[0]
    if tag == "f":
        return frozenset((ir[2],)) if ir[1] == OWNER else None
    if tag == "g":
        return _read(ir[1])
    if tag == "or":
        return _all([_read(part) for part in ir[1]])
    if tag == "?" and not _demands(ir[1]):
        return _all([_read(ir[2]), _read(ir[3])])
    if tag == "call" and ir[1] in ("default", "coalesce"):
        return _all([_read(part) for part in ir[2]])
    return None


def _all(parts: list[Fields | None]) -> Fields | None:
    if not parts or any(part is None for part in parts):
        return None
    return frozenset().union(*(part for part in parts if part is not None))


def _demands(ir: Any) -> bool:
    """Whether something in it is an error where it is missing."""
    return isinstance(ir, list) and (ir[:1] == ["req"] or any(map(_demands, ir)))
