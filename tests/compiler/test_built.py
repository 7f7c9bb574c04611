"""What is not built yet is refused, field by field; what is built is not; language.md's whole example."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from engine.compiler.built import check_built
from engine.compiler.document import Document
from engine.compiler.load import Kind, Source
from engine.compiler.parse import parse
from engine.compiler.shape import real_path, shape
from engine.diagnostics import Diagnostics, Span
from engine.spec.built import BUILT, VALUES
from engine.spec.case import CaseFile
from engine.spec.model import Spec, fields
from engine.spec.nodes.node import EDGE_CHILD, KIND_KEYS
from engine.spec.provider import ProviderSpec
from engine.spec.settings import Settings
from engine.spec.workspace import Workspace

HERE = Path(__file__).parent
WHOLE = HERE / "whole_example"

LATER = sorted((name, key) for name, row in BUILT.items() for key, since in row.items() if since is None)

Used = tuple[str, str, tuple[Any, ...]]


MODELS: dict[str, type[BaseModel]] = {
    "sections": Workspace,
    "engine": Settings,
    "case": CaseFile,
}


def read(path: Path, model: type[BaseModel], kind: Kind = "routes") -> tuple[Document, Any]:
    out = Diagnostics()
    document = parse(Source(str(path.relative_to(HERE)), kind, path.read_text(), ""), out)
    assert document is not None
    found = shape(model, document, out)
    assert found is not None, [str(d) for d in out]
    return document, found


def uses(value: Any, path: tuple[Any, ...] = ()) -> Iterator[Used]:
    """Every field that a file uses: (class, key, path)."""
    if isinstance(value, RootModel):
        yield from uses(value.root, path)
    elif isinstance(value, Spec):
        for key, (attribute, _) in fields(type(value)).items():
            if attribute not in value.model_fields_set or getattr(value, attribute) is None:
                continue
            below = path if key == EDGE_CHILD else (*path, key)
            if key != EDGE_CHILD:
                yield type(value).__name__, key, below
            yield from uses(getattr(value, attribute), below)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from uses(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from uses(item, (*path, index))


@cache
def samples() -> dict[tuple[str, str], list[tuple[Document, tuple[Any, ...], frozenset[Span]]]]:
    """(class, key) -> where the samples use it: document, path, and the places that were refused."""
    found: dict[tuple[str, str], list[tuple[Document, tuple[Any, ...], frozenset[Span]]]] = {}
    for name, model in MODELS.items():
        kind: Kind = "case" if name == "case" else "routes"
        document, spec = read(HERE / "later" / f"{name}.yaml", model, kind)
        refused = frozenset(d.span for d in refusals(document, spec) if d.span is not None)
        for cls, key, path in uses(spec):
            found.setdefault((cls, key), []).append((document, path, refused))
    return found


def refusals(document: Document, spec: Any) -> list[Any]:
    out = Diagnostics()
    check_built(spec, document, out)
    assert {d.code for d in out} <= {"E090"}
    return list(out)


@pytest.mark.parametrize(("name", "key"), LATER, ids=lambda value: str(value))
def test_what_is_not_built_is_refused(name: str, key: str) -> None:
    """Each field marked `later` has a sample, and the sample is refused at the field or above it."""
    found = samples().get((name, key))
    assert found, f"tests/compiler/later/ has no sample of {name}.{key}"
    for document, path, refused in found:
        real = real_path(document.data, path)
        places = {document.key_span(real[:end]) for end in range(1, len(real) + 1)}
        places |= {document.key_span((index, "case")) for index in real[:1] if isinstance(index, int)}
        # A node whose kind is not built is refused at its kind key.
        places |= {
            document.key_spans.get((*real[:end], kind)) for end in range(len(real)) for kind in KIND_KEYS
        }  # type: ignore[misc]
        assert places & refused, f"{name}.{key} at {path}"


@pytest.mark.parametrize(
    ("model", "text", "refused"),
    [
        (Workspace, "routes: {a: {start: x, stream: {on_cut: continue}}}", []),
        (Workspace, "nodes: {a: {balance: [x], rank: quality}}", []),
        (Workspace, "nodes: {a: {balance: [x], rank: latency}}", []),
        (
            Workspace,
            "routes: {a: {start: x, match: {operations: [chat, images]}}}",
            ["1:51 this operation"],
        ),
        (Workspace, "deployments: {a: {provider: p, model: '*'}}", []),
        (
            Workspace,
            "credentials: {a: {provider: p, secret: vault:x/y}}",
            ["1:40 a secret from a vault (`vault:`)"],
        ),
        (Workspace, "credentials: {a: {provider: p, secret: file:/x}}", []),
        (Settings, "state: redis://x:6379/0\nreplicas: 3", []),
        (Settings, "state: memory\nworkers: 2\nprobes: null", []),
        (Settings, "admin_key: vault:x", ["1:12 a secret from a vault (`vault:`)"]),
        (
            Workspace,
            "routes: {a: {start: {fallback: [{ensemble: [{cache: x, exact: 1h}], merge: vote}, x]}}}",
            [],
        ),
        (
            Workspace,
            "nodes: {a: {switch: [{when: x, cache: y, exact: 1h}], else: {mirror: y, to: z}}}",
            [],
        ),
        (Workspace, "budgets: {}\nroutes: {a: x}", []),
    ],
)
def test_values_and_places(model: type[BaseModel], text: str, refused: list[str]) -> None:
    out = Diagnostics()
    document = parse(Source("x.yaml", "routes", text, ""), out)
    assert document is not None
    spec = shape(model, document, out)
    assert spec is not None, [str(d) for d in out]
    found = [f"{d.span.line}:{d.span.column} {d.message}" for d in refusals(document, spec)]
    assert found == [f"{place} is not built yet" for place in refused]


def test_every_value_that_is_not_built_has_a_sample() -> None:
    """The rules of `VALUES` name fields that exist and execute."""
    for name, key in VALUES:
        assert BUILT[name][key] is not None, (name, key)


def test_language_whole_example() -> None:
    """language.md's examples, whole: each refusal in `refusals.txt`. The list shrinks with each step."""
    files: list[tuple[str, type[BaseModel], Kind]] = [
        ("engine.yaml", Settings, "settings"),
        ("routes/assistant.yaml", Workspace, "routes"),
        ("routes/kinds.yaml", Workspace, "routes"),
        ("policies/acme.yaml", Workspace, "policies"),
        ("providers.d/acme.yaml", ProviderSpec, "provider"),
        ("cases/assistant.yaml", CaseFile, "case"),
    ]
    found: list[str] = []
    for name, model, kind in files:
        document, spec = read(WHOLE / name, model, kind)
        found += [str(d).removeprefix("whole_example/") for d in refusals(document, spec)]
    assert found == (WHOLE / "refusals.txt").read_text().splitlines()
