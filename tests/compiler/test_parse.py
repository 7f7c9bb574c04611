"""YAML text to data with places: the 1.2 rules, the refusals, the limits, and no crash on anything."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import engine.compiler.parse as parse_module
import engine.compiler.quoting as quoting_module
from engine.codes import CODES
from engine.compiler.document import Document
from engine.compiler.load import Kind, Source
from engine.compiler.parse import MAX_DEPTH, MAX_NODES, parse
from engine.compiler.render import text as text_renderer
from engine.diagnostics import Diagnostics, Span

BROKEN = Path(__file__).parent / "broken_yaml"

#: File in `broken_yaml/` -> what must be found where. The wording is in the snapshots.
EXPECTED = {
    "after_the_end": ["E010 1:7"],
    "alias_as_key": ["E016 3:3"],
    "alias_in_itself": ["W003 1:6", "E020 1:10"],
    "alias_unknown": ["E020 1:13"],
    "anchor_on_key": ["E019 2:3"],
    "anchor_outside": ["E019 2:6"],
    "anchor_twice": ["E027 2:6"],
    "at_sign": ["E026 1:4"],
    "bell": ["E012 2:37"],
    "bidi": ["E012 2:12"],
    "billion_laughs": ["E021 6:10"],
    "block_header": ["E010 1:6"],
    "closes_nothing": ["E010 1:4"],
    "colon_in_text": ["E026 2:15"],
    "colon_in_value": ["E026 2:9"],
    "dedent_between": ["E010 3:3"],
    "deeper_than_value": ["E010 3:5"],
    "directive": ["E010 1:1"],
    "double_comma": ["E010 1:12"],
    "duplicate_in_duplicate": ["E015 2:1", "E015 2:16"],
    "duplicate_key": ["E015 4:3"],
    "empty_key": ["E010 1:10"],
    "escape": ["E010 2:17"],
    "flow_expression": ["E026 2:13"],
    "flow_expression_call": ["E028 2:28"],
    "flow_expression_last": ["E026 2:21"],
    "huge_number": ["E024 1:4", "E024 2:4"],
    "infinity": ["E024 1:4", "E024 2:4", "E024 3:4"],
    "list_behind_key": ["E010 1:11"],
    "list_key": ["E016 1:3"],
    "list_then_map": ["E010 2:1"],
    "map_then_list": ["E010 2:1"],
    "merge_key": ["E022 4:5"],
    "missing_comma": ["E010 1:16"],
    "no_break_space_colon": ["E011 3:13"],
    "no_break_space_indent": ["E011 2:1"],
    "no_colon": ["E010 2:3"],
    "no_space_behind_colon": ["E010 3:12"],
    "nul": ["E012 2:7"],
    "number_key": ["E016 2:3"],
    "open_list": ["E010 1:9"],
    "open_map": ["E010 1:9"],
    "open_quote": ["E010 1:4"],
    "python_tag": ["E017 1:4"],
    "quote_in_quotes": ["E010 1:8"],
    "quote_then_more": ["E026 2:11"],
    "root_list": ["E025 1:1"],
    "root_text": ["E025 1:1"],
    "star": ["E026 1:25"],
    "tab_after_value": ["E011 3:1"],
    "tab_indent": ["E011 2:1"],
    "tag": ["E017 1:4"],
    "template_key": ["E016 2:7", "E028 2:8"],
    "thousands": ["E023 2:18"],
    "thousands_list": ["E023 1:10"],
    "too_deep": ["E013 1:67"],
    "true_key": ["E016 1:10"],
    "two_documents": ["E018 2:1"],
    "unused_anchor": ["W003 1:6"],
}


def run(text: str, kind: Kind = "routes", path: str = "routes/x.yaml") -> tuple[Document | None, Diagnostics]:
    out = Diagnostics()
    return parse(Source(path, kind, text, ""), out), out


def found(out: Diagnostics) -> list[str]:
    return [f"{d.code} {d.span.line}:{d.span.column}" if d.span else d.code for d in out]


def good(text: str, kind: Kind = "routes") -> Document:
    document, out = run(text, kind)
    assert document is not None
    assert not out.sorted()
    return document


def read_broken(name: str) -> str:
    return (BROKEN / f"{name}.yaml").read_bytes().decode()


# --- what is refused ----------------------------------------------------------------------------------


def test_every_broken_file_is_expected() -> None:
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_broken(name: str, snapshot: SnapshotAssertion) -> None:
    text = read_broken(name)
    start = time.process_time()
    _, out = run(text, path=f"{name}.yaml")
    assert time.process_time() - start < 1
    assert found(out) == EXPECTED[name]
    assert all(d.help for d in out), "every one says what to do"
    assert text_renderer.render(out, {f"{name}.yaml": text}) == snapshot


@pytest.mark.parametrize("name", EXPECTED)
def test_broken_without_the_c_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python parser words its errors otherwise; people must be told the same."""
    text = read_broken(name)
    _, with_c = run(text)
    monkeypatch.setattr(parse_module, "_LOADER", yaml.Loader)
    monkeypatch.setattr(quoting_module, "_LOADER", yaml.Loader)
    _, without = run(text)
    if name == "escape":  # the one place where the two parsers differ, by one column
        assert [d.message for d in without] == [d.message for d in with_c]
    else:
        assert without.sorted() == with_c.sorted()


@pytest.mark.parametrize("name", [name for name, codes in EXPECTED.items() if codes[0].startswith("E026")])
def test_the_line_proposed_is_yaml(name: str) -> None:
    """E026 says what to write: with it, the file parses."""
    text = read_broken(name)
    _, out = run(text)
    (diagnostic,) = out
    assert diagnostic.help is not None
    assert diagnostic.span is not None
    lines = text.split("\n")
    old = lines[diagnostic.span.line - 1]
    fixed = diagnostic.help.removeprefix("put the value in single quotes: ")
    lines[diagnostic.span.line - 1] = old[: len(old) - len(old.lstrip())] + fixed
    good("\n".join(lines))


ROWS = [(code, row) for code, row in CODES.items() if code[0] in "EW" and code[1:3] in ("00", "01", "02")]


@pytest.mark.parametrize(("code", "text"), [(c, row.bad) for c, row in ROWS if isinstance(row.bad, str)])
def test_bad_example_of_the_table(code: str, text: str) -> None:
    _, out = run(text)
    assert {d.code for d in out} == {code}


@pytest.mark.parametrize("text", [row.good for _, row in ROWS if isinstance(row.good, str)])
def test_good_example_of_the_table(text: str) -> None:
    good(text)


# --- limits -------------------------------------------------------------------------------------------

HOSTILE = {
    "brackets": ("[" * 30_000, "E013"),
    "braces": ("{a: " * 30_000, "E013"),
    "brackets on lines": ("[\n" * 30_000, "E013"),
    "brackets hidden in comments": ("[ # ]\n" * 30_000, "E013"),
    "dashes": ("- " * 30_000 + "a", "E013"),
    "questions": ("? " * 30_000, "E013"),
    "staircase": ("".join(f"{' ' * n}a:\n" for n in range(1_000)), "E013"),
    "ten megabytes": ("a: b\n" * 2_000_000, "E008"),
    "many values": ("[" + "1," * (MAX_NODES + 10) + "]", "E014"),
    "many keys": ("".join(f"k{n}: v\n" for n in range(60_000)), "E014"),
    "many duplicates": ("a: b\n" * 60_000, "E015"),
    "quadratic anchors": (
        "x-a: &a [" + "1," * 1_000 + "]\nb: [" + "*a," * 1_000 + "]",
        "E021",
    ),
    "one long line": ("a: " + "]" * 1_000_000, "E010"),
    "one long quote": ('a: "' + "x " * 500_000, "E010"),
    "colons": ("a: " * 300_000, "E010"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_in_under_a_second(name: str) -> None:
    text, code = HOSTILE[name]
    for last in (False, False, True):  # a neighbour on the core makes a turn slower, and not all three
        start = time.process_time()
        _, out = run(text)
        if (took := time.process_time() - start) < 1:
            break
        assert not last, took
    assert out.failed
    assert code in {d.code for d in out}


def test_hostile_text_does_not_kill_the_process() -> None:
    """In a process of its own, with its default stack: a crash there is a signal here."""
    program = (
        "from engine.compiler.load import Source\n"
        "from engine.compiler.parse import parse\n"
        "from engine.diagnostics import Diagnostics\n"
        "for text in ('[' * 30_000, '{a: ' * 30_000, '- ' * 30_000, '\"' + '\\\\' * 99_999):\n"
        "    out = Diagnostics()\n"
        "    assert parse(Source('x', 'routes', text, ''), out) is None and out.failed\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_depth_and_size_just_inside_the_limits() -> None:
    good("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    assert len(good("a: [" + "1," * (MAX_NODES - 3) + "]").data["a"]) == MAX_NODES - 3


def test_brackets_in_text_are_no_nesting() -> None:
    good("a: |\n" + "  [[[[[[[[[[\n" * 100 + "b: '" + "{" * 200 + "'\n")


def test_aliases_count_towards_depth() -> None:
    text = "x-a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 30 + "*a" + "]" * 30
    assert found(run(text)[1])[0].startswith("E013 2:")


# --- what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("N", "N"),
        ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False), ("False", False),
        ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None), ("nUll", "nUll"),
        ("2023-06-01", "2023-06-01"), ("12:30:00", "12:30:00"), ("12:30", "12:30"), ("1_000", "1_000"),
        ("010", 10), ("0", 0), ("-0", 0), ("+12", 12), ("0o17", 15),
        ("0o18", "0o18"), ("0x1F", 31), ("0xG", "0xG"),
        ("-0x1F", "-0x1F"), ("0b1", "0b1"), (".5", 0.5), ("1.", 1.0), ("-1.5e3", -1500.0), ("1e3", 1000.0),
        ("1.5.2", "1.5.2"), (".", "."), ("+", "+"), ("1e", "1e"), ("e3", "e3"), (".e3", ".e3"),
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("0" * 5000 + "7", 7),
        (".infinity", ".infinity"), ("NaN", "NaN"), ("$0.05", "$0.05"), ("80%", "80%"), ("+10%", "+10%"),
        ("30s", "30s"), ("1.2.3.4:80", "1.2.3.4:80"), ("=", "="), ("٣", "٣"),
    ],
)  # fmt: skip
def test_core_schema(plain: str, value: Any) -> None:
    got = good(f"a: {plain}\n").data["a"]
    assert got == value
    assert type(got) is type(value)
    assert good(f"a: '{plain}'\n").data["a"] == plain


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "~\n"])
def test_an_empty_file_is_an_empty_map(text: str) -> None:
    assert good(text).data == {}
    assert good(text, "case").data == []


def test_anchors_under_x_keys_are_copied_and_gone() -> None:
    document = good("x-s:\n  both: &both {a: [1, '2']}\nr: *both\ns: {t: *both}\n")
    assert document.data == {"r": {"a": [1, "2"]}, "s": {"t": {"a": [1, "2"]}}}
    document.data["r"]["a"].append(3)
    assert document.data["s"]["t"]["a"] == [1, "2"], "a copy, not one list in two places"


def test_places_of_a_copy_are_those_of_its_text() -> None:
    document = good("x-s: &s {a: [1, '2']}\nr: *s\n")
    assert document.span(("r",)) == Span("routes/x.yaml", 2, 4, 2, 6)
    assert document.span(("r", "a", 1)) == Span("routes/x.yaml", 1, 17, 1, 20)
    assert document.key_span(("r", "a")) == Span("routes/x.yaml", 1, 10, 1, 11)
    assert document.quoted(("r", "a", 1))


PLACES = """\
# é 日本 😀
routes:
  "a b": {use: gpt, when: 'x == "y"'}   # a comment
  b:
    - gpt
    - |
      one
      two

  c: end
"""


@pytest.mark.parametrize(
    ("path", "raw", "place"),
    [
        (("routes", "a b"), """{use: gpt, when: 'x == "y"'}""", "3:10"),
        (("routes", "a b", "use"), "gpt", "3:16"),
        (("routes", "a b", "when"), """'x == "y"'""", "3:27"),
        (("routes", "b"), "- gpt\n    - |\n      one\n      two", "5:5"),
        (("routes", "b", 0), "gpt", "5:7"),
        (("routes", "b", 1), "|\n      one\n      two", "6:7"),
        (("routes", "c"), "end", "10:6"),
        (("routes", "c", "nothing", 3), "end", "10:6"),
    ],
)
def test_places(path: tuple[str | int, ...], raw: str, place: str) -> None:
    document = good(PLACES)
    span = document.span(path)
    assert f"{span.line}:{span.column}" == place
    assert document.raw(path) == raw


def test_key_places_and_lines() -> None:
    document = good(PLACES)
    assert str(document.key_span(("routes", "a b"))) == "routes/x.yaml:3:3"
    assert document.text(document.key_span(("routes", "a b"))) == '"a b"'
    assert document.line(document.span(("routes", "c"))) == "  c: end"
    assert document.key_span(("routes", "b", 0)) == document.span(("routes", "b", 0))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_places_with_any_line_end(end: str) -> None:
    document = good("a: 1\nb: {c: 'd'}\n".replace("\n", end))
    assert document.data == {"a": 1, "b": {"c": "d"}}
    assert document.raw(("b", "c")) == "'d'"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a: gpt", False),
        ("a: 'gpt'", True),
        ('a: "gpt"', True),
        ("a: |\n  gpt", True),
        ("a: >-\n  gpt", True),
    ],
)
def test_quoted(text: str, quoted: bool) -> None:
    assert good(text).quoted(("a",)) is quoted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: key.name == #1", "a: 'key.name == #1'"),
        ("- {when: x == #gold, use: y", None),
        ("a: key.name == 'it' #'s", "a: 'key.name == ''it'' #''s'"),
        ("a: x", None),
        ("a: 'x' # y", None),
        ("a: {b: x, c: d}", None),
    ],
)
def test_quoted_line(text: str, line: str | None) -> None:
    document, _ = run(text)
    if document is None:
        assert line is None
    else:
        assert document.quoted_line(("a",)) == line


def test_cut_off_inside_braces_over_lines() -> None:
    document = good("a: {\n  when: x == #gold\n  , use: y}\n")
    assert document.cut_off(("a", "when")) == " #gold"
    assert document.cut_off(("a", "use")) is None
    assert document.quoted_line(("a", "when")) == "  when: 'x == #gold'"


# --- nothing crashes ----------------------------------------------------------------------------------

VALID = """\
x-shared: &base {provider: openai, model: "gpt-5-mini"}
deployments:
  gpt: *base
routes:
  assistant:
    match: {models: [assistant, "gpt-4o-mini*"], when: 'key.org == "acme"'}
    start:
      switch:
        - when: request.input_tokens > 3k   # narrow
          use: gpt
      else: {respond: |-
          closed}
budgets: {month: {limit: $5000, window: month}}
"""

_ATOMS = st.sampled_from(
    [*"[]{}:,-?&*!|>'\"%@`# \t\n\r\x00\x85\ufeff\u2028é😀\ud800$5<~", "- ", ": ", "<<: ", "---", "..."]
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    text = VALID
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 5)))
        text = text[:start] + "".join(draw(st.lists(_ATOMS, max_size=3))) + text[end:]
    return text


@settings(max_examples=300, deadline=None)
@given(_mutated())
@example(VALID)
def test_mutations_never_crash(text: str) -> None:
    document, out = run(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for d in out:
        if d.span:
            assert 1 <= d.span.line <= len(lines)
            assert 1 <= d.span.column <= len(lines[d.span.line - 1]) + 1
    assert out.failed or document is not None
    if document is not None:
        for path in list(document.spans)[:50]:
            document.raw(path)
            document.quoted_line(path)
    text_renderer.render(out, {"routes/x.yaml": text})


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab[]{}:,-?&*!|>'\"%#\n \t<0$."), max_size=60))
def test_any_text_never_crashes(text: str) -> None:
    document, out = run(text)
    assert out.failed or document is not None


#: Numbers to YAML 1.2 that YAML 1.1 takes for text, so that PyYAML leaves them unquoted.
_NUMBER_OF_12 = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|0o[0-7]+", re.ASCII)

_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda t: not _NUMBER_OF_12.fullmatch(t)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc -", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _PLAIN, max_size=4), st.booleans())
def test_what_a_dumper_writes_is_read_back(data: dict[str, Any], flow: bool) -> None:
    """PyYAML quotes by YAML 1.1, which is more than 1.2 needs, so its output means the same here."""
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=False, width=10_000)
    assert good(text).data == data
