"""Where a canonical field stands in a body of a format: what a change to it means for a client's own body.

A body that passes through is not written anew, so a rule that drops `temperature` must know the field of the
wire: what the format's `request.read` makes it of, and what its `request.write` makes of it. A wire field
that belongs to one canonical field alone is named whole (`response_format`); of one that several share, the
part that is read for it (`generationConfig.temperature`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.compiler.expr import reads
from engine.plan.values import Template

Ir = Any


def wire_fields(read: Template, write: Template | None) -> Mapping[str, tuple[str, ...]]:
    """Canonical field of a request -> dotted names in a body, sorted."""
    found: dict[str, set[str]] = {}
    for name, part in parts(read):
        found.setdefault(name, set()).update(each for each in reads(part, "body") if each)
    made: dict[str, set[str]] = {}
    for wire, part in parts(write) if write is not None else ():
        for name in {each.partition(".")[0] for each in reads(part, "request")} - {""}:
            made.setdefault(name, set()).add(wire)
    readers, writers = _owners(found), _owners(made)
    told: dict[str, tuple[str, ...]] = {}
    for name in found.keys() | made.keys():
        own = {
            top if readers[top] == {name} else each
            for each in found.get(name, ())
            for top in (each.partition(".")[0],)
        }
        tops = {each.partition(".")[0] for each in own}
        own |= {wire for wire in made.get(name, ()) if wire not in tops and writers[wire] == {name}}
        if own:
            told[name] = tuple(sorted(each for each in own if not _below(each, own)))
    return told


def parts(template: Template) -> Iterator[tuple[str, Template]]:
    """The keys that a template makes at its top, each with the template of its value."""
    for name, ir in _entries(template.ir):
        yield name, Template(template.scope, ir)


def _entries(ir: Ir) -> Iterator[tuple[str, Ir]]:
    tag = ir[0]
    if tag == "M":
        for entry in ir[1]:
            if entry[0] == "=":
                yield entry[1], ["M", [entry], ir[2]]
            elif entry[0] == "S":
                yield from _entries(entry[1])
    elif tag == "T":
        for name, inner in _entries(ir[2]):
            yield name, ["T", ir[1], inner]
    elif tag == "I":
        for branch in (ir[2], ir[3]):
            if branch is not None:
                yield from _entries(branch)
    elif tag == "W":
        for branch in (*(case for _, case in ir[3]), ir[4]):
            if branch is not None:
                yield from _entries(branch)


def _owners(found: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Top-level wire field -> the canonical fields that have to do with it."""
    owners: dict[str, set[str]] = {}
    for name, paths in found.items():
        for each in paths:
            owners.setdefault(each.partition(".")[0], set()).add(name)
    return owners


def _below(name: str, names: set[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in names)
