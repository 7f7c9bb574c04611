"""A manifest's canonical text in parts, and back: neither end ever handles all of a large one at once.

A part is a field's name and some of its entries, as they stand in the canonical text. Put together in order
the parts are that text to the byte, so the digest over them is the revision, and whoever reads them has
checked it without making the whole text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from engine.plan.codec import PlanDecodeError, canonical, decode
from engine.plan.types import Manifest, Match, Settings

#: So many entries stand in one part: about a millisecond to read.
ENTRIES: Final = 256

#: Every field of a manifest, in the order of its canonical text.
FIELDS: Final = tuple(sorted(field.name for field in dataclasses.fields(Manifest)))

_Matches = tuple[tuple[str, Match], ...]
#: Fields whose entries are more than strings. The others are maps of names to names or digests.
_SHAPED: Final[dict[str, Any]] = {
    "ingress": Mapping[str, tuple[str, str]],
    "matches": _Matches,
    "probes": Mapping[str, int],
}
_WHOLE: Final[dict[str, Any]] = {
    "schema": int,
    "settings": Settings,
    "money": str,
    "prices": str,
    "people": str,
}


class Part(NamedTuple):
    """`text`: entries of `field`, without the brackets around all of them."""

    field: str
    text: bytes


def parts(manifest: Manifest) -> Iterator[Part]:
    """Every part, in order; a field without entries has one that is empty."""
    for name in FIELDS:
        value = getattr(manifest, name)
        if name in _WHOLE:
            yield Part(name, canonical(value))
        elif isinstance(value, Mapping):
            for some in _batches(sorted(value.items())):
                yield Part(name, canonical(dict(some))[1:-1])
        else:
            for some in _batches(value):
                yield Part(name, canonical(some)[1:-1])


def text(manifest: Manifest) -> Iterator[bytes]:
    """The canonical text, in pieces."""
    frame = _Frame()
    for part in parts(manifest):
        yield frame.before(part)
        yield part.text
    yield frame.end()


class ManifestReader:
    """Takes a manifest's parts in order. Each `add` costs what its part holds."""

    def __init__(self) -> None:
        self._frame = _Frame()
        self._digest = hashlib.sha256()
        self._maps: dict[str, dict[str, Any]] = {n: {} for n in FIELDS if n not in _WHOLE and n != "matches"}
        self._whole: dict[str, Any] = {}
        self._matches: list[tuple[str, Match]] = []

    def add(self, part: Part) -> None:
        """Raises PlanDecodeError where the part is none of a manifest, or comes out of its turn."""
        self._digest.update(self._frame.before(part))
        self._digest.update(part.text)
        try:
            self._take(part)
        except (ValueError, TypeError) as error:
            raise PlanDecodeError(f"`{part.field}` of the manifest does not read: {error}") from error

    def _take(self, part: Part) -> None:
        if part.field in _WHOLE:
            self._whole[part.field] = decode(_WHOLE[part.field], json.loads(part.text))
        elif part.field == "matches":
            self._matches += decode(_Matches, json.loads(b"[" + part.text + b"]"))
        else:
            found = json.loads(b"{" + part.text + b"}")
            shape = _SHAPED.get(part.field)
            self._maps[part.field].update(found if shape is None else decode(shape, found))

    def end(self) -> tuple[Manifest, str]:
        """The manifest and its revision. Raises PlanDecodeError where parts are missing."""
        self._digest.update(self._frame.end())
        values: dict[str, Any] = {**self._whole, **self._maps, "matches": tuple(self._matches)}
        return Manifest(**values), self._digest.hexdigest()


class _Frame:
    """What stands between the parts: names and brackets."""

    def __init__(self) -> None:
        self._field: str | None = None
        self._rest = list(reversed(FIELDS))

    def before(self, part: Part) -> bytes:
        """Raises PlanDecodeError where this part cannot come now."""
        if part.field == self._field and part.field not in _WHOLE:
            return b","
        if not self._rest or self._rest[-1] != part.field:
            raise PlanDecodeError(f"`{part.field}` is not the next part of a manifest")
        start = b"{" if self._field is None else self._closing() + b","
        self._field = self._rest.pop()
        return start + f'"{part.field}":'.encode() + _BRACKETS[part.field][0]

    def end(self) -> bytes:
        """Raises PlanDecodeError where fields have not come."""
        if self._rest:
            raise PlanDecodeError(f"`{self._rest[-1]}` is missing from the manifest")
        return self._closing() + b"}"

    def _closing(self) -> bytes:
        assert self._field is not None
        return _BRACKETS[self._field][1]


_BRACKETS: Final = {
    name: (b"", b"") if name in _WHOLE else (b"[", b"]") if name == "matches" else (b"{", b"}")
    for name in FIELDS
}


def _batches(entries: Any) -> Iterator[Any]:
    waiting = iter(entries)
    yield tuple(islice(waiting, ENTRIES))
    while some := tuple(islice(waiting, ENTRIES)):
        yield some
