"""Whatever YAML gives: shape answers with spec objects or with diagnostics that have a place."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from engine.compiler.built import check_built
from engine.compiler.document import Document
from engine.compiler.load import Source
from engine.compiler.shape import shape
from engine.diagnostics import Diagnostics, Span
from engine.spec.built import BUILT
from engine.spec.case import CaseFile
from engine.spec.dialect import DialectSpec
from engine.spec.provider import ProviderSpec
from engine.spec.settings import Settings
from engine.spec.workspace import Workspace

KEYS = sorted({key for row in BUILT.values() for key in row})
WORDS = [
    "gpt",
    "30s",
    "30k",
    "$5",
    "80%",
    "env:KEY",
    "transient",
    "reject",
    "x > 1",
    "100/min",
    "month",
    "*",
    "p95",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=12),
)
keys = st.one_of(
    st.sampled_from(KEYS), st.sampled_from(["a", "b", "form:node", "kind:use"]), st.text(max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=25,
)
#: Values under the sections, so that most of them reach a spec class.
workspaces = st.dictionaries(
    st.sampled_from(sorted(BUILT["Workspace"])),
    st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2),
)


def document(data: Any) -> Document:
    """Data with no place of its own but the file's."""
    return Document(Source("x.yaml", "routes", "", ""), data, {(): Span("x.yaml", 1, 1, 1, 1)}, {})


def run(model: type[BaseModel], data: Any) -> None:
    out = Diagnostics()
    made = document(data)
    found: Any = shape(model, made, out)
    assert (found is None) is out.failed
    for d in out:
        assert d.span is not None
        assert "\n" not in d.message
        assert "is not accepted here" not in d.message, "a fault that has no words of its own"
    if found is not None:
        check_built(found, made, out)
        assert {d.code for d in out} <= {"E090"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.one_of(workspaces, values))
def test_workspaces(data: Any) -> None:
    run(Workspace, data)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.one_of(st.dictionaries(st.sampled_from(sorted(BUILT["Settings"])), scalars), values))
@example(data={"body_limit": "\n"})
def test_settings(data: Any) -> None:
    run(Settings, data)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.lists(st.dictionaries(st.sampled_from(sorted(BUILT["Case"])), values), max_size=2))
def test_cases(data: Any) -> None:
    run(CaseFile, data)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.dictionaries(st.sampled_from(sorted(BUILT["ProviderSpec"])), values))
def test_providers(data: Any) -> None:
    run(ProviderSpec, data)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.dictionaries(st.sampled_from(sorted(BUILT["DialectSpec"])), values))
def test_dialects(data: Any) -> None:
    run(DialectSpec, data)
