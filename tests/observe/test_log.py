"""The log: one line an event whatever is in it, no control byte, nothing of an exception's text."""

from __future__ import annotations

import io
import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from engine.observe.log import MAX_TEXT, Log, LogHandler

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda n: n not in {"at", "level", "event", "self"}), VALUES)
)
def test_every_event_is_one_line_that_parses(fields: dict[str, object]) -> None:
    stream = io.StringIO()
    Log(stream=stream, text=False)._write("info", "event", fields)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert all(" " <= char <= "~" for char in written[:-1])
    assert json.loads(written)["event"] == "event"


@given(st.text())
def test_a_terminal_gets_no_control_bytes(text: str) -> None:
    stream = io.StringIO()
    Log(stream=stream, text=True).warning("event", value=text)
    assert stream.getvalue().count("\n") == 1
    assert all(" " <= char <= "~" for char in stream.getvalue()[:-1])


def test_values_are_capped() -> None:
    stream = io.StringIO()
    Log(stream=stream, text=False).info("event", text="x" * 100_000, items=list(range(1000)))
    line = json.loads(stream.getvalue())
    assert len(line["text"]) < MAX_TEXT + 50
    assert line["items"][-1] == "and 980 more"


def test_levels() -> None:
    stream = io.StringIO()
    log = Log("warning", stream=stream, text=False)
    log.info("quiet")
    log.error("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_a_fault_is_told_by_type_and_place() -> None:
    stream = io.StringIO()
    log = Log(stream=stream, text=False)
    logger = logging.getLogger("test_log_of_libraries")
    logger.handlers, logger.propagate = [LogHandler(log)], False
    try:
        raise ValueError("sk-secret and the user's prompt")
    except ValueError as error:
        log.fault("request_fault", error)
        logger.exception("a library's")
    assert "sk-secret" not in stream.getvalue()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["exception"] == second["exception"] == "ValueError"
    assert "test_log.py" in first["where"][-1]


def test_a_closed_stream_does_not_stop_the_engine() -> None:
    stream = io.StringIO()
    stream.close()
    Log(stream=stream, text=False).error("nobody reads")
