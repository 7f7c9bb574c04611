"""The JSON Schemas: up to date, valid, true to the shipped files, of one mind with the compiler."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.cli.init import ROUTES, SETTINGS
from engine.cli.main import main
from engine.compiler.document import Document
from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.compiler.shape import shape
from engine.diagnostics import Diagnostics
from engine.docs.schemas import DRAFT, FILES, schema
from engine.spec.nodes.table import SPECS

ROOT = Path(__file__).parents[2]
COMPILER = ROOT / "tests" / "compiler"

#: Every YAML file of the repository that names its schema.
SHIPPED = sorted(
    path
    for folder in (
        "engine.yaml",
        "routes",
        "providers.d",
        "envs",
        "cases",
        "policies",
        "tests/compiler/whole_example",
    )
    for path in ([ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*.yaml"))
)


@cache
def validator(name: str) -> Any:
    return jsonschema.Draft202012Validator(schema(name))


def read(text: str, kind: str = "routes") -> Document:
    out = Diagnostics()
    document = parse(Source("x.yaml", "case" if kind == "case" else "routes", text, ""), out)
    assert document is not None, list(out)
    return document


def faults(name: str, text: str) -> list[str]:
    return [error.message for error in validator(name).iter_errors(read(text, name).data)]


def shape_faults(name: str, text: str) -> list[str]:
    out = Diagnostics()
    shape(FILES[name][0], read(text, name), out)
    return [str(d) for d in out]


@pytest.mark.parametrize("name", FILES)
def test_the_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == DRAFT


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files(path: Path) -> None:
    """Each names its schema in its first line, and fits it."""
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, f"{path} does not name its schema: {first!r}"
    target = (path.parent / named[1]).resolve()
    assert target.parent == ROOT / "schemas"
    assert faults(target.name.removesuffix(".schema.json"), path.read_text()) == []


@pytest.mark.parametrize(("name", "text"), [("routes", ROUTES), ("engine", SETTINGS)])
def test_what_init_writes(name: str, text: str) -> None:
    assert faults(name, text) == []
    assert f"schemas/{name}.schema.json" in text.splitlines()[0]


@pytest.mark.parametrize("kind", SPECS)
def test_examples_of_kinds(kind: str) -> None:
    assert faults("routes", f"nodes:\n  example: {SPECS[kind].example}\n") == []


ACCEPTED = [
    ("routes", "routes: {a: gpt}"),
    ("routes", "routes: {a: {start: gpt}}\nnodes:\n"),
    ("routes", "x-shared: &t {total: 3s}\nroutes: {a: {start: gpt, timeout: *t}}"),
    ("routes", "deployments: {a: {provider: p, model: m, credentials: k}}"),
    ("routes", "deployments: {a: {provider: p, model: m, credentials: [k, l], region: null}}"),
    ("routes", "keys: {tags: {a: [x], b: {required: true}, c: null}, orgs: []}"),
    ("routes", "routes: {a: {start: {switch: [{when: x, use: b}, {when: y, fallback: [c]}], else: d}}}"),
    ("routes", "nodes: {a: {balance: [b, {use: c, weight: 2}, {fallback: [d], weight: 0.5}]}}"),
    ("routes", "nodes: {a: {mirror: {fallback: [b]}, to: c}}"),
    ("routes", "routes: {a: {start: b, admit: {input: 30k, output: 4000, tools: false}}}"),
    (
        "routes",
        "limits: {a: {requests: 5/s, on_exceed: {queue: 2s}}, b: {concurrent: 3, on_exceed: {use: x}}}",
    ),
    ("policies", "require: {a: {credentials: explicit}, b: {credentials: [k]}}\nresidency: {acme.eu: eu}"),
    ("engine", ""),
    ("engine", "probes: null\nlisten: '[::1]:0'\nadmin_key: env:KEY\nstate: memory"),
    (
        "case",
        "- {case: x, request: {model: m}, upstream: {a: timeout, b: [cut, {ok: {}}]}, expect: {status: 200}}",
    ),
    ("provider", "dialect: openai_chat\nauth: none\nbase_url: http://127.0.0.1:1/v1\nprice: free"),
]

REJECTED = [
    ("routes", "rutes: {}"),
    ("routes", "routes: {a: 5}"),
    ("routes", "routes: {a: {}}"),
    ("routes", "routes: {a: {start: {falback: [b]}}}"),
    ("routes", "routes: {a: {start: {fallback: [b], balance: [c]}}}"),
    ("routes", "routes: {a: {start: {fallback: [{use: b, weight: 2}]}}}"),
    ("routes", "routes: {a: {start: {switch: [{use: b}], else: c}}}"),
    ("routes", "routes: {a: {start: {switch: [{when: x, use: b, weight: 2}], else: c}}}"),
    ("routes", "routes: {a: {start: {switch: [{when: x, use: b}]}}}"),
    ("routes", "routes: {a: {start: b, timeout: {total: 30}}}"),
    ("routes", "routes: {a: {start: b, reply_model: both}}"),
    ("routes", "routes: {a b: c}"),
    ("routes", "nodes: {a: {fallback: []}}"),
    ("routes", "credentials: {a: {provider: p, secret: plain}}"),
    ("routes", "require: {a: {residency: [eu]}}"),
    ("engine", "port: 1"),
    ("engine", "workers: 0"),
    ("engine", "watch: yes"),
    ("case", "- {case: x}"),
    ("provider", "auth: {beerer: env:K}"),
]


@pytest.mark.parametrize(("name", "text"), ACCEPTED)
def test_both_accept(name: str, text: str) -> None:
    assert shape_faults(name, text) == []
    assert faults(name, text) == []


@pytest.mark.parametrize(("name", "text"), REJECTED)
def test_both_reject(name: str, text: str) -> None:
    assert shape_faults(name, text)
    assert faults(name, text)


@pytest.mark.parametrize("path", sorted((COMPILER / "later").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_not_built_yet_is_in_the_schema(path: Path) -> None:
    name = {"sections": "policies", "nodes": "routes", "engine": "engine", "case": "case"}.get(path.stem)
    if name is None:  # several vendors in one file
        for vendor in read(path.read_text(), "case").data:
            assert not list(validator("provider").iter_errors(vendor))
    else:
        assert faults(name, path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("routes: {a: {timeout: {connect: null}}}", True),
        ("routes: {a: {$add: true, start: b}}", True),
        ("routes: {a: null}", True),
        ("deployments: {a: {region: us}}", True),
        ("nodes: {a: {timeout: {total: 3s}}}", True),
        ("routes: {a: {$add: false, start: b}}", False),
        ("routes: {a: {strat: b}}", False),
        ("deployments: {a: {concurrent: many}}", False),
        ("rutes: {}", False),
    ],
)
def test_overlays(text: str, fits: bool) -> None:
    assert (faults("overlay", text) == []) is fits


def test_every_property_says_what_it_is_for() -> None:
    for name in FILES:
        for key, definition in {"": schema(name), **schema(name)["$defs"]}.items():
            for prop, item in definition.get("properties", {}).items():
                assert item.get("description") or "$ref" in item or "anyOf" in item, f"{name}: {key}.{prop}"


def test_check_says_what_drifted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", str(tmp_path)]) == 0
    assert main(["schema", "--check", str(tmp_path)]) == 0
    (tmp_path / "schemas" / "case.schema.json").write_text("{}")
    capsys.readouterr()
    assert main(["schema", "--check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "case.schema.json" in out
    assert "routes.schema.json" not in out


def test_the_repository_is_up_to_date() -> None:
    """As CI checks it: in a process of its own, so that hashing cannot change the order."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", "schema", "--check", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
