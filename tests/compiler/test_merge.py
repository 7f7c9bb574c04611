"""Merging: whatever files a workspace is split into, the sum and the places are the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compiler.document import Document, Path
from engine.compiler.load import Kind, Source
from engine.compiler.merge import Workspace, merge
from engine.compiler.merged import MISSING, dotted, value_at
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
SCALARS = st.one_of(st.integers(0, 9), st.booleans(), st.sampled_from(["x", "y z", "2024-01-01"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)
SECTIONS = st.dictionaries(
    st.sampled_from(["deployments", "routes", "nodes", "alerts"]),
    st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=4),
    min_size=1,
)


def document(path: str, kind: Kind, data: Any) -> Document:
    found = parse(Source(path, kind, yaml.safe_dump(data, sort_keys=False), ""), Diagnostics())
    assert found is not None
    return found


def leaves(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*path, i))]
    return [(path, value)]


def assert_places(found: Workspace) -> None:
    """Every scalar's place holds that very value, in a file that was merged."""
    merged = found.document
    for path, value in leaves(merged.data):
        if value == {}:
            continue  # what an overlay emptied is written nowhere
        written = yaml.safe_load(merged.raw(path))
        assert str(written) == str(value), dotted(path)


@settings(max_examples=60, deadline=None)
@given(SECTIONS, st.randoms(use_true_random=False))
def test_split_over_files_is_the_same(whole: dict[str, dict[str, Any]], rng: random.Random) -> None:
    parts: list[dict[str, dict[str, Any]]] = [{}, {}, {}]
    names = [(section, name) for section, entries in whole.items() for name in entries]
    rng.shuffle(names)
    for section, name in names:
        rng.choice(parts).setdefault(section, {})[name] = whole[section][name]
    documents = [document(f"routes/{i}.yaml", "routes", part) for i, part in enumerate(parts)]
    rng.shuffle(documents)
    out = Diagnostics()
    found = merge(documents, out)
    assert len(out) == 0
    assert found.document.data == whole
    assert_places(found)


def overlaid(base: Any, patch: Any) -> Any:
    """The rule of language.md, written as plainly as can be."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = overlaid(result.get(key), value)
    return result


PATCHES = st.recursive(
    st.one_of(SCALARS, st.none(), st.lists(SCALARS, min_size=1, max_size=2)),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=6,
).filter(lambda patch: isinstance(patch, dict))


@settings(max_examples=60, deadline=None)
@given(SECTIONS, st.data())
def test_overlays_follow_the_one_rule(whole: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(sorted(whole)))
    name = data.draw(st.sampled_from(sorted(whole[section])))
    patch = {section: {name: data.draw(PATCHES)}}
    out = Diagnostics()
    found = merge(
        [document("routes/a.yaml", "routes", whole), document("envs/x/a.yaml", "overlay", patch)], out
    )
    assert {d.code for d in out} <= {"W204"}
    assert found.document.data == overlaid(whole, patch)
    assert_places(found)


@given(st.lists(st.sampled_from(["routes", "nodes"]), min_size=2, max_size=2), NAMES)
@settings(max_examples=10, deadline=None)
def test_a_name_twice_is_told_with_both_places(sections: list[str], name: str) -> None:
    first, second = ({section: {name: {"start": "x"}}} for section in sections)
    out = Diagnostics()
    merge([document("routes/b.yaml", "routes", second), document("policies/a.yaml", "policies", first)], out)
    found = out.sorted()
    if sections[0] != sections[1]:
        assert found == ()
        return
    (only,) = found
    assert only.code == "E201"
    assert only.span is not None
    assert {only.span.file, only.related[0].span.file} == {"routes/b.yaml", "policies/a.yaml"}


def test_a_bare_route_is_patched_in_its_long_form() -> None:
    base = document("routes/a.yaml", "routes", {"routes": {"chat": "gpt"}, "nodes": {"n": "gpt"}})
    patch = {"routes": {"chat": {"timeout": {"total": "5s"}}}, "nodes": {"n": {"retry": {"extra": 0}}}}
    found = merge([base, document("envs/x/a.yaml", "overlay", patch)], Diagnostics()).document
    assert found.data["routes"]["chat"] == {"start": "gpt", "timeout": {"total": "5s"}}
    assert found.data["nodes"]["n"] == {"use": "gpt", "retry": {"extra": 0}}
    assert found.span(("routes", "chat", "start")).file == "routes/a.yaml"
    assert found.span(("routes", "chat", "timeout", "total")).file == "envs/x/a.yaml"


def test_keys_are_declared_over_several_files() -> None:
    a = document("routes/a.yaml", "routes", {"keys": {"orgs": ["acme"], "tags": {"team": ["x"]}}})
    b = document("policies/b.yaml", "policies", {"keys": {"tags": {"data": {"required": True}}}})
    out = Diagnostics()
    found = merge([a, b], out)
    assert len(out) == 0
    assert set(found.document.data["keys"]["tags"]) == {"team", "data"}
    assert found.in_policies(("keys", "tags", "data", "required"))
    assert not found.in_policies(("keys", "tags", "team"))


@pytest.mark.parametrize("empty", [None, {}])
def test_an_empty_section_is_nothing(empty: object) -> None:
    a = document("routes/a.yaml", "routes", {"nodes": empty, "routes": {"chat": "gpt"}})
    b = document("routes/b.yaml", "routes", {"nodes": {"n": "gpt"}})
    out = Diagnostics()
    assert merge([a, b], out).document.data == {"nodes": {"n": "gpt"}, "routes": {"chat": "gpt"}}
    assert len(out) == 0


def test_a_section_that_is_no_map_stays_for_its_shape_to_be_told() -> None:
    a = document("routes/a.yaml", "routes", {"routes": {"chat": "gpt"}})
    b = document("routes/b.yaml", "routes", {"routes": ["chat"]})
    found = merge([a, b], Diagnostics()).document
    assert found.data["routes"] == ["chat"]
    assert found.span(("routes",)).file == "routes/b.yaml"


def test_value_at_tells_null_from_nothing() -> None:
    data = {"a": [None], "b": {"c": 1}}
    assert value_at(data, ("a", 0)) is None
    assert value_at(data, ("a", 1)) is MISSING
    assert value_at(data, ("a", -1)) is MISSING
    assert value_at(data, ("b", "c", "d")) is MISSING
