"""Stage `shape`: plain data to spec objects; what does not fit becomes one diagnostic each, at its place.

Pydantic checks the data against a class of `engine/spec/`; each of its errors carries a location made of
keys, indexes and tags. `spec_tree` follows it through the classes, this file follows it through the data to a
line and column, and `shape_words` says it without a word of pydantic. A text that looks like a vendor's key
is refused wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.compiler.document import Document, Path
from engine.compiler.shape_words import near_key, say
from engine.compiler.spec_tree import owner_of
from engine.diagnostics import Diagnostics, Span
from engine.keys.looks import looks_secret
from engine.spec.fault import FAULT

M = TypeVar("M", bound=BaseModel)

#: Pydantic's mark for a fault in the key of a map.
_KEY = "[key]"


def shape(model: type[M], document: Document, out: Diagnostics) -> M | None:
    """The document as a `model`; None where it does not fit, with all faults in `out`."""
    told: set[Path] = set()
    found: M | None = None
    try:
        found = model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        misspelt = _misspelt(model, details)
        for detail in details:
            if detail["type"] != "missing" or detail["loc"] not in misspelt:
                _tell(model, document, detail, told, out)
    if _find_secrets(document, told, out):
        return None
    return found


def _misspelt(model: type[BaseModel], details: list[ErrorDetails]) -> set[tuple[int | str, ...]]:
    """Locations of missing keys that are there, misspelt: the unknown key is told, with the right one."""
    found: set[tuple[int | str, ...]] = set()
    for detail in details:
        above, key = detail["loc"][:-1], detail["loc"][-1] if detail["loc"] else None
        if detail["type"] == "extra_forbidden" and (near := near_key(str(key), owner_of(model, above))):
            found.add((*above, near))
    return found


def _tell(
    model: type[BaseModel], document: Document, detail: ErrorDetails, told: set[Path], out: Diagnostics
) -> None:
    """Report one error; `told` gets its path where a secret that stands there needs no second word."""
    location = detail["loc"]
    context: dict[str, Any] = detail.get("ctx") or {}
    at = tuple(context.get("at", ())) if detail["type"] == FAULT else ()
    path = real_path(document.data, (*location, *at))
    owner = owner_of(model, location[:-1] if detail["type"] in ("missing", "extra_forbidden") else location)
    words = say(detail, owner, path)
    out.add(words.code, words.message, _span(document, path, detail, at), help=words.help)
    if words.code != "E101":
        told.add(path)


def _span(document: Document, path: Path, detail: ErrorDetails, at: Path) -> Span:
    if detail["type"] in ("extra_forbidden", "missing") or _KEY in detail["loc"]:
        return document.key_span(path)
    on_key = detail["type"] == FAULT and (detail.get("ctx") or {}).get("code") in _ON_KEYS
    if on_key or detail["type"].startswith("union_tag"):
        return document.key_span(path)
    return document.span(path)


#: Faults of a whole map, or of a key's presence: the key is the place, not the lines below it.
_ON_KEYS = frozenset({"E107", "E110", "E113"})


def real_path(data: Any, location: tuple[Any, ...]) -> Path:
    """The location without tags and shorthands: only keys and indexes that the data has."""
    path: list[str | int] = []
    for element in location:
        listed = isinstance(data, list) and isinstance(element, int) and 0 <= element < len(data)
        if listed or (isinstance(data, dict) and element in data):
            data = data[element]
            path.append(element)
    return tuple(path)


def _find_secrets(document: Document, told: set[Path], out: Diagnostics) -> bool:
    """Refuse what looks like a vendor's key, wherever it stands. It is never repeated."""
    if not any(map(looks_secret, _all_texts(document.data))):
        return False
    found = False
    for path, text in _texts(document.data, ()):
        if looks_secret(text) and path not in told:
            out.add(
                "E115",
                "this text looks like a secret (it is not shown)",
                document.span(path),
                help="put it into an environment variable or a file, and name that in a secret field: "
                "env:NAME; if it is real, revoke it: it may be in Git already",
            )
            found = True
    return found


def _all_texts(data: Any) -> list[str]:
    """The texts without their paths: enough to see that none is a secret, and quicker by far."""
    found: list[str] = []
    waiting = [data]
    for value in waiting:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def _texts(data: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _texts(value, (*path, index))
