"""Broken samples and what is said of them: each file of `shape/` with its diagnostics beside it.

To look at a change of the wording: `python tests/compiler/test_shape.py` rewrites the `.txt` files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from engine.codes import CODES
from engine.compiler.document import Document
from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.compiler.shape import shape
from engine.diagnostics import Diagnostics
from engine.spec.case import CaseFile
from engine.spec.nodes.table import SPECS
from engine.spec.settings import Settings
from engine.spec.workspace import Workspace

SAMPLES = Path(__file__).parent / "shape"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.yaml"))


def model_of(name: str) -> type[BaseModel]:
    return Settings if name.startswith("engine") else CaseFile if name.startswith("case") else Workspace


def read(name: str, text: str) -> tuple[Document, BaseModel | None, Diagnostics]:
    out = Diagnostics()
    kind = "case" if name.startswith("case") else "routes"
    document = parse(Source(f"{name}.yaml", kind, text, ""), out)
    assert document is not None, list(out)
    return document, shape(model_of(name), document, out), out


def said(name: str) -> str:
    _, _, out = read(name, (SAMPLES / f"{name}.yaml").read_text())
    return "".join(f"{d}\n" + (f"    {d.help}\n" if d.help else "") for d in out)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said(name: str) -> None:
    assert said(name) == (SAMPLES / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_it_passes(name: str) -> None:
    document, found, out = read(name, (SAMPLES / f"{name}.yaml").read_text())
    assert found is None
    assert out.failed
    for d in out:
        assert d.span is not None
        assert 1 <= d.span.line <= len(document.lines)
        assert d.span.column <= len(document.lines[d.span.line - 1]) + 1
        assert d.code in CODES


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_pydantic(name: str) -> None:
    jargon = r"pydantic|validation|dictionary|Input should|instance of|union|tag\b|\[type=|form:|kind:[a-z]"
    messages = (SAMPLES / f"{name}.txt").read_text()
    assert not re.search(jargon, messages), re.search(jargon, messages)


def test_a_secret_is_never_repeated() -> None:
    messages = said("secrets")
    for secret in ("a-literal-secret", "aaaaaaaa", "12345", "AKIA", "xoxb", "hooks.slack", "my-real-key"):
        assert secret not in messages, secret


def test_every_code_of_shape_has_a_sample() -> None:
    found = set(re.findall(r"\[(E1\d\d)\]", "".join(said(name) for name in NAMES)))
    assert found == {code for code in CODES if re.fullmatch(r"E1\d\d", code)}


def test_a_broken_node_is_told_once() -> None:
    """A bad kind says nothing of what stands inside."""
    _, _, out = read("x", "nodes:\n  a: {falback: [{zzz: 1}], timeout: 3, rank: 9}\n")
    assert [d.code for d in out] == ["E108"]


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_a_fault_deep_down_has_its_own_place(depth: int) -> None:
    text = "nodes:\n  a:\n"
    for level in range(depth):
        text += "  " * (level + 2) + ("fallback:\n" if level == 0 else "- fallback:\n")
    text += "  " * (depth + 2) + "- {use: x, timeout: {total: 5}}\n"
    _, _, out = read("x", text)
    (only,) = out
    assert only.code == "E103"
    assert only.span is not None
    assert (only.span.line, only.span.column) == (depth + 3, text.splitlines()[-1].index("5") + 1)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("routes: {a: b}", "b"),
        ("routes: {a: {start: b}}", "b"),
        ("routes: {a: {start: {use: b}}}", "b"),
        ("routes: {a: {start: {switch: [{when: x, use: b}], else: b}}}", "b"),
        ("routes: {a: {start: {balance: [b, {use: b, weight: 2}]}}}", "b"),
    ],
)
def test_short_forms_are_the_long_ones(text: str, path: str) -> None:
    _, found, out = read("x", text)
    assert not list(out)
    assert isinstance(found, Workspace)
    node: Any = found.routes["a"].start
    while list(node.children()):
        node = next(iter(node.children()))[1]
    assert node.use == path


@pytest.mark.parametrize("kind", SPECS)
def test_the_example_of_each_kind_is_one(kind: str) -> None:
    _, found, out = read("x", f"nodes:\n  example: {SPECS[kind].example}\n")
    assert not list(out)
    assert isinstance(found, Workspace)
    node = found.nodes["example"]
    assert type(node) is SPECS[kind]
    assert node.kind == kind


@pytest.mark.parametrize("kind", SPECS)
def test_children_are_where_they_say(kind: str) -> None:
    document, found, _ = read("x", f"nodes:\n  example: {SPECS[kind].example}\n")
    assert isinstance(found, Workspace)
    for path, child in found.nodes["example"].children():
        value: Any = document.data["nodes"]["example"]
        for key in path:
            value = value[key]
        assert value == child.use if isinstance(value, str) else child.kind in value  # type: ignore[attr-defined]


if __name__ == "__main__":
    for sample in NAMES:
        (SAMPLES / f"{sample}.txt").write_text(said(sample))
