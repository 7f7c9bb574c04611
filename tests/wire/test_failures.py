"""The classifier's defaults, its rules, retry-after in all its forms; pricing to the nano-dollar."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from engine.plan.vendors import ErrorRule
from engine.wire.delays import CAP_MS
from engine.wire.failures import RETRY_AFTER, Classifier, by_status, retry_after_ms
from engine.wire.usage import bind

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, "bad_request"), (401, "auth"), (402, "quota_exhausted"), (403, "permission"),
        (404, "not_found"),
        (408, "timeout"), (409, "bad_request"), (413, "bad_request"), (422, "bad_request"), (424, "server"),
        (429, "rate_limited"), (500, "server"), (501, "server"), (502, "server"), (503, "overloaded"),
        (504, "timeout"), (524, "timeout"), (529, "overloaded"), (599, "server"), (301, "server"),
        (None, "server"), (499, "server"),
    ],
)  # fmt: skip
def test_by_status(status: int | None, failure: str) -> None:
    assert by_status(status) == failure


@pytest.mark.parametrize(
    ("headers", "ms"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2000),
        ({"retry-after": "1.5"}, 1500),
        ({"retry-after-ms": "250", "retry-after": "9"}, 250),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9000),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30_000),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0),
        ({"retry-after": "Thu, 01 Jan 2099 00:00:00 GMT"}, CAP_MS),
        ({"retry-after": "1m30s"}, 90_000),
        ({"retry-after": "20ms"}, 20),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-inf"}, None),
        ({"retry-after": "1e400"}, CAP_MS),
        ({"retry-after": "-1e400"}, 0),
        ({"retry-after": "-1e308"}, 0),
        ({"retry-after": "9" * 400 + "d"}, CAP_MS),
        ({"retry-after": ""}, None),
        ({"retry-after": "never"}, None),
        ({"retry-after": "9" * 400}, CAP_MS),
    ],
)
def test_retry_after(headers: dict[str, str], ms: int | None) -> None:
    assert retry_after_ms(headers, None, RETRY_AFTER, NOW) == ms


RULES = (
    ErrorRule("overloaded", header="x-state", equals=("full",)),
    ErrorRule("quota_exhausted", status=(400, 429), path="error.details.*.reason", equals=("SPENT",)),
    ErrorRule("context_length", path="error.message", regex="(?i)too long"),
    ErrorRule("auth", path="errors.0.code", equals=("7",)),
    ErrorRule("permission", status=(418,)),
    ErrorRule("content_policy", path="flagged"),
)


@pytest.mark.parametrize(
    ("status", "headers", "body", "failure"),
    [
        (500, {"x-state": "full"}, b"", "overloaded"),
        (400, {}, b'{"error": {"details": [{"reason": "A"}, {"reason": "SPENT"}]}}', "quota_exhausted"),
        (403, {}, b'{"error": {"details": [{"reason": "SPENT"}]}}', "permission"),
        (400, {}, b'{"error": {"message": "prompt is TOO LONG"}}', "context_length"),
        (500, {}, b'{"errors": [{"code": 7}]}', "auth"),
        (418, {}, b"tea", "permission"),
        (400, {}, b'{"flagged": true}', "content_policy"),
        (400, {}, b'{"flagged": false}', "bad_request"),
        (400, {}, b'["error"]', "bad_request"),
        (400, {}, b'[{"error": {"message": "prompt is TOO LONG"}}]', "context_length"),
        (503, {}, b"\xff\xfe", "overloaded"),
    ],
)
def test_rules(status: int, headers: dict[str, str], body: bytes, failure: str) -> None:
    assert Classifier(RULES, None).answer(status, headers, body)["failure"] == failure


@pytest.mark.parametrize(("word", "told"), [("true", True), ("false", False), ("maybe", None), (None, None)])
def test_a_vendor_may_say_whether_to_come_again(word: str | None, told: bool | None) -> None:
    headers = {} if word is None else {"x-should-retry": word}
    assert Classifier((), None).answer(500, headers, b"{}").get("should_retry") is told


def test_a_vendors_words_are_bounded_and_on_one_line() -> None:
    def read(body: object, headers: object, status: int) -> object:
        return {"message": "a\nb\x1b[31m\u202e" + "x" * 900, "code": 5, "type": ["no"], "param": "p"}

    error = Classifier((), read).answer(400, {}, b"{}")
    assert error["message"].startswith("a b [31m xxx")
    assert len(error["message"]) == 500
    assert error["code"] == "5"
    assert "type" not in error
    assert Classifier((), read).answer(400, {}, b"<html>")["message"] == "the upstream answered 400"


def test_usage_is_made_canonical() -> None:
    exclusive = bind({"input_includes_cached": False, "output_includes_reasoning": False})
    told = {"input_tokens": 5, "cached_tokens": 7, "output_tokens": 3, "reasoning_tokens": 2}
    assert exclusive(told) == {
        "input_tokens": 12,
        "cached_tokens": 7,
        "output_tokens": 5,
        "reasoning_tokens": 2,
    }
    plain = bind({})
    assert plain({"input_tokens": -1, "output_tokens": True, "cached_tokens": 1.5, "cost": -1}) == {}
    assert plain({"input_tokens": 10**12}) == {}
    assert plain(None) == {}
