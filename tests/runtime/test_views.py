"""What expressions read, and how tokens are counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime import tokens
from engine.runtime.views import ANONYMOUS, ClockView, RequestView, parts


def view(headers: dict[str, str] | None = None, **request: Any) -> RequestView:
    body: Any = {"model": "m", "messages": [], **request}
    return RequestView(body, "chat", None, headers or {}, tokens.bound)


def message(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def test_absent_is_empty() -> None:
    v = view()
    assert (v.user, v.conversation, v.text, v.dialect, v.stream, v.max_output_tokens) == (
        "",
        "",
        "",
        "",
        False,
        0,
    )
    assert v.header("x-team") == ""
    assert v.metadata["nothing"] == ""
    assert ANONYMOUS.tags["tier"] == ""


def test_text_is_what_the_user_wrote() -> None:
    v = view(messages=[message("system", text("be brief")), message("user", text("a"), text("b"))])
    assert v.text == "a\nb"


def test_headers_whatever_their_case() -> None:
    assert view({"x-team": "red"}).header("X-Team") == "red"


@pytest.mark.parametrize(
    ("request_fields", "feature"),
    [
        ({"messages": [message("user", {"type": "image"})]}, "image"),
        ({"messages": [message("user", {"type": "audio"})]}, "audio"),
        ({"messages": [message("tool", {"type": "tool_result", "content": [{"type": "image"}]})]}, "image"),
        ({"tools": [{"name": "f"}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"reasoning": {"budget": 100}}, "reasoning"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_has(request_fields: dict[str, Any], feature: str) -> None:
    assert view(**request_fields).has(feature)
    assert not view(reasoning={"effort": "none"}, tools=[]).has(feature)


def test_parts_inside_tool_results_count() -> None:
    request: Any = {"messages": [message("tool", {"type": "tool_result", "content": [text("x")]})]}
    assert [part["type"] for part in parts(request)] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [(9 * 60, 17 * 60, True), (12 * 60, 12 * 60 + 1, True), (13 * 60, 17 * 60, False),
     (22 * 60, 6 * 60, False), (22 * 60, 12 * 60 + 1, True), (11 * 60, 12 * 60, False)],
)  # fmt: skip
def test_between(start: int, end: int, inside: bool) -> None:
    noon = datetime(2026, 12, 1, 12, 0, tzinfo=UTC).timestamp()
    assert ClockView(noon, UTC).between(start, end) is inside


def test_the_clock_is_the_workspaces() -> None:
    late = datetime(2026, 12, 1, 23, 30, tzinfo=UTC).timestamp()
    assert ClockView(late, UTC).weekday == "tue"
    assert ClockView(late, ZoneInfo("Europe/Berlin")).weekday == "wed"
    assert ClockView(late, ZoneInfo("Europe/Berlin")).between(0, 60)


@given(st.lists(st.text(), max_size=5))
def test_the_bound_is_never_below_the_bytes(texts: list[str]) -> None:
    request: Any = {"messages": [message("user", *(text(t) for t in texts))]}
    total = sum(len(t.encode("utf-8", "surrogatepass")) for t in texts)
    assert tokens.bound(request) >= total
    assert tokens.text_bytes(request) == total
    assert tokens.least(tokens.bound(request)) <= tokens.bound(request)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"name": "f", "description": "d" * 50, "parameters": {"type": "object"}}]},
        {"response_format": {"type": "json_schema", "schema": {"type": "object"}}},
        {"messages": [message("user", {"type": "image"})]},
        {"messages": [message("assistant", {"type": "tool_call", "name": "f", "arguments": "{}"})]},
        {"messages": [message("tool", {"type": "tool_result", "content": [text("result")]})]},
    ],
)
def test_everything_the_model_reads_counts(more: dict[str, Any]) -> None:
    assert tokens.bound({**more}) > tokens.bound({"messages": []})  # type: ignore[typeddict-item]


def test_the_widest_overhead_bounds_all() -> None:
    found = tokens.widest([{"message": 50}, None, {"message": 3, "image": 9_999}])
    assert (found["message"], found["image"], found["part"]) == (50, 9_999, tokens.OVERHEAD["part"])


def test_the_language_and_the_turns() -> None:
    turns = [message("user", text("Wie geht es dir?")), message("assistant", text("Fine, thank you.")),
             message("user", text("Und was ist mit dem Rest?"))]  # fmt: skip
    view = RequestView({"messages": turns}, "chat", None, {}, lambda _: 0)  # type: ignore[typeddict-item]
    assert (view.language, view.turns) == ("de", 2)
