"""The table of what executes covers every field of every spec class; every field says what it is for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import pytest

import engine.spec
from engine.kinds.table import KINDS
from engine.policies.failures import CLASSES as FAILURES
from engine.policies.failures import GROUPS, expand, named
from engine.spec.built import BUILT, INSTEAD, VALUES
from engine.spec.model import Spec, called, fields
from engine.spec.nodes.node import EDGE_CHILD, KIND_KEYS, CallingNode, Edge, NodeSpec
from engine.spec.nodes.table import SPECS
from engine.spec.workspace import PoliciesFile, RoutesFile, Workspace

for found in walk_packages(engine.spec.__path__, "engine.spec."):
    import_module(found.name)

#: Bases, and files that hold part of a workspace.
BASES = {NodeSpec, CallingNode, Edge, RoutesFile, PoliciesFile}


def subclasses(spec: type[Spec]) -> Iterator[type[Spec]]:
    for below in spec.__subclasses__():
        if below.__module__.startswith("engine."):
            yield below
        yield from subclasses(below)


CLASSES = sorted(set(subclasses(Spec)) - BASES, key=lambda spec: spec.__name__)


def keys(spec: type[Spec]) -> set[str]:
    return set(fields(spec)) - {EDGE_CHILD}


@pytest.mark.parametrize("spec", CLASSES, ids=lambda spec: spec.__name__)
def test_the_table_has_every_field(spec: type[Spec]) -> None:
    assert spec.__name__ in BUILT, f"engine/spec/built.py has no row for {spec.__name__}"
    row = set(BUILT[spec.__name__])
    assert row == keys(spec), f"missing {keys(spec) - row}, unknown {row - keys(spec)}"


def test_the_table_has_no_other_class() -> None:
    assert set(BUILT) == {spec.__name__ for spec in CLASSES}


def test_names_of_classes_are_unique() -> None:
    names = [spec.__name__ for spec in CLASSES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*VALUES, *INSTEAD], ids=".".join)
def test_rules_are_about_fields_that_exist(name: tuple[str, str]) -> None:
    assert name[1] in BUILT[name[0]]


def test_what_has_another_way_is_not_built() -> None:
    assert [name for name in INSTEAD if BUILT[name[0]][name[1]] is not None] == []


@pytest.mark.parametrize("spec", CLASSES, ids=lambda spec: spec.__name__)
def test_every_field_is_documented(spec: type[Spec]) -> None:
    assert spec.__doc__
    assert spec.noun
    assert called(spec)
    for key, (_, info) in fields(spec).items():
        assert info.description, f"{spec.__name__}.{key}"
        assert info.description[0].isupper() or info.description[0] in "`/", info.description
        assert info.description.rstrip("`").endswith("."), info.description


def test_files_hold_parts_of_a_workspace() -> None:
    assert set(RoutesFile.model_fields) < set(Workspace.model_fields)
    assert set(PoliciesFile.model_fields) == set(Workspace.model_fields)


def test_the_kinds() -> None:
    assert tuple(SPECS) == KIND_KEYS
    assert all(spec.kind in fields(spec) for spec in SPECS.values())


def test_kinds_that_execute_are_those_of_the_plan() -> None:
    """A kind is in the table of what runs exactly when the spec says so; no file says `jumps`."""
    executing = {kind for kind, spec in SPECS.items() if BUILT[spec.__name__][kind] is not None}
    assert executing == set(KINDS) - {"jumps"}
    lowering = {kind for kind, spec in SPECS.items() if "lower" in vars(spec)}
    assert lowering == executing


def test_failure_groups() -> None:
    assert expand(("timeout", "transient", "auth")) == tuple(
        name for name in FAILURES if name in {*GROUPS["transient"], "auth"}
    )
    assert named(("transient", "timeout")) == ("timeout",)


def test_importing_the_spec_stays_light() -> None:
    """`engine validate` pays for this import: nothing may creep in that only schemas or pages need."""
    code = "import sys, engine.spec.workspace, engine.spec.settings; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"jinja2", "yaml", "jsonschema", "re2", "difflib", "aiohttp", "httpx", "orjson"}
    assert not set(out.split()) & heavy
