"""Printing: colour only on a terminal, progress only where somebody watches."""

from __future__ import annotations

import io

import pytest

from engine.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_that_want_it(environment, coloured, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (output.paint("x", "red", stream=Terminal()) == "\x1b[31mx\x1b[0m") is coloured
    assert output.paint("x", "red", stream=io.StringIO()) == "x"


def test_json_keeps_order_and_letters(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({"b": "ä", "a": 1})
    assert capsys.readouterr().out == '{\n  "b": "ä",\n  "a": 1\n}\n'


def test_a_table_lines_up() -> None:
    assert output.table([["a", "long"], ["abc", "b"]], headers=["x", "y"]) == "x    y\na    long\nabc  b"
    assert output.table([]) == ""


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (155_444_838, "148.2 MiB")]
)
def test_sizes_are_for_people(count: int, shown: str) -> None:
    assert output.size(count) == shown


def test_progress_is_silent_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.ProgressBar, "DELAY", 0.0)
    stream = io.StringIO()
    with output.ProgressBar("convert", stream=stream) as bar:
        bar.update(1, 2)
    assert stream.getvalue() == ""


def test_progress_fills_up_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.ProgressBar, "DELAY", 0.0)
    monkeypatch.setattr(output.ProgressBar, "EVERY", 0.0)
    stream = Terminal()
    with output.ProgressBar("convert", unit="", stream=stream) as bar:
        bar.update(1, 2)
        bar.update(3, label="write")
    drawn = stream.getvalue().split("\r")
    assert drawn[1] == f"convert  [{'#' * 14}{'.' * 14}]  50%  1 of 2"
    assert drawn[2].rstrip() == "write  3"
    assert len(drawn[2]) == len(drawn[1])
    assert drawn[3].strip() == "" == drawn[4]


def test_short_work_draws_nothing() -> None:
    stream = Terminal()
    with output.ProgressBar("quick", stream=stream) as bar:
        bar.update(1, 2)
    assert stream.getvalue() == ""
