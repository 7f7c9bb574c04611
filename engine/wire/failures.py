"""The classifier: whatever way a call failed, into one failure class, once, at the boundary.

Ordered rules of the provider come first, then those of its dialect, then the HTTP status alone. The same
rules serve an error status, a 200 that holds an error, and an error event inside a stream (which has no
status). The vendor's words are kept for the message, bounded and without control characters; anything that
is not the format's own error body (an HTML page, a stack trace) is never repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import orjson
import re2

from engine.plan.vendors import ErrorRule, RetryAfter
from engine.policies.failures import FailureClass
from engine.wire.canonical import Error
from engine.wire.delays import CAP_MS, delay_ms, in_milliseconds

#: What a status alone means. Anything else: 4xx is bad_request, the rest is server.
BY_STATUS: Final[Mapping[int, FailureClass]] = {
    401: "auth",
    402: "quota_exhausted",
    403: "permission",
    404: "not_found",
    408: "timeout",
    424: "server",
    425: "overloaded",
    429: "rate_limited",
    499: "server",  # the vendor says that its client left, and ours is here
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}

#: Longest message kept of a vendor's.
MESSAGE_CAP: Final = 500
RETRY_AFTER: Final = (RetryAfter("retry-after-ms"), RetryAfter("retry-after"))

_CONTROL: Final = re2.compile(r"[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]+")

Reader = Callable[[Any, Mapping[str, str], int], Any]


class Classifier:
    """Classifies the failed calls of one provider.

    rules: in order. read: the dialect's own reading of an error body into message, code, type and param.
    default: the class of what no rule knows; None: what the status means.
    retry_after: where a delay may stand, in the order they are asked; `-ms` at the end means milliseconds.
    """

    def __init__(
        self,
        rules: tuple[ErrorRule, ...],
        read: Reader | None,
        retry_after: tuple[RetryAfter, ...] = RETRY_AFTER,
        default: str | None = None,
    ) -> None:
        self._tests = [(_bind(rule), cast(FailureClass, rule.failure)) for rule in rules]
        self._default = cast("FailureClass | None", default)
        self._read = read
        self._retry_after = retry_after or RETRY_AFTER

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        """An answer that is an error by its status. The body may be anything."""
        try:
            parsed = orjson.loads(body)
        except ValueError:
            parsed = None
        return self.parsed(status, headers, parsed)

    def parsed(
        self, status: int | None, headers: Mapping[str, str], body: Any, now: float | None = None
    ) -> Error:
        """An error told by JSON: an error body, a 200 with one, or (`status` None) an event of a stream.

        A list with one map in it (what Google answers to some streamed calls) is that map.
        """
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        told = (
            self._read(body, headers, status or 0)
            if self._read is not None and isinstance(body, dict)
            else None
        )
        error: Error = {"failure": self._failure(status, headers, body, told)}
        if status is not None:
            error["status"] = status
        if isinstance(told, dict):
            if message := _text(told.get("message"), MESSAGE_CAP):
                error["message"] = message
            if code := _text(told.get("code"), 100):
                error["code"] = code
            if type_ := _text(told.get("type"), 100):
                error["type"] = type_
            if param := _text(told.get("param"), 200):
                error["param"] = param
        if "message" not in error:
            error["message"] = (
                f"the upstream answered {status}" if status else "the upstream told of an error"
            )
        delay = retry_after_ms(headers, body, self._retry_after, time.time() if now is None else now)
        if delay is not None:
            error["retry_after_ms"] = delay
        if (advice := headers.get("x-should-retry")) in ("true", "false"):
            error["should_retry"] = advice == "true"
        return error

    def _failure(self, status: int | None, headers: Mapping[str, str], body: Any, told: Any) -> FailureClass:
        for test, failure in self._tests:
            if test(status, headers, body, told):
                return failure
        return self._default or by_status(status)


def by_status(status: int | None) -> FailureClass:
    """The class that a status alone means; None (no status at all) is `server`."""
    if status is None:
        return "server"
    found = BY_STATUS.get(status)
    if found is not None:
        return found
    return "bad_request" if 400 <= status < 500 else "server"


def below_http(failure: FailureClass, message: str) -> Error:
    """A call that failed before or below an answer."""
    return {"failure": failure, "message": message}


def retry_after_ms(
    headers: Mapping[str, str], body: Any, places: tuple[RetryAfter, ...], now: float
) -> int | None:
    """The delay in ms that the first of these places names, 0 for a past date; None where none does."""
    for place in places:
        if place.header is not None:
            value = headers.get(place.header)
            values = iter(()) if value is None else iter((value,))
        else:
            values = _values(body, tuple((place.path or "").split(".")))
        milliseconds = in_milliseconds(place.header or place.path or "")
        for value in values:
            delay = delay_ms(value, now=now, milliseconds=milliseconds)
            if delay is not None:
                return round(max(0.0, min(delay, CAP_MS)))  # beyond all numbers either way, perhaps
    return None


def _text(value: Any, cap: int) -> str | None:
    """A vendor's word as one bounded line."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text: str = _CONTROL.sub(" ", str(value)).strip()
    return text if len(text) <= cap else text[: cap - 1] + "…"


Test = Callable[[int | None, Mapping[str, str], Any, Any], bool]


def _bind(rule: ErrorRule) -> Test:
    statuses = None if rule.status is None else frozenset(rule.status)
    equals = None if rule.equals is None else frozenset(rule.equals)
    pattern = None if rule.regex is None else re2.compile(rule.regex)
    steps = tuple(rule.path.split(".")) if rule.path is not None else None
    header = rule.header.lower() if rule.header is not None else None

    word = rule.told

    def test(status: int | None, headers: Mapping[str, str], body: Any, told: Any) -> bool:
        if statuses is not None and status not in statuses:
            return False
        if header is not None:
            found = headers.get(header)
            return found is not None and _holds(found, equals, pattern)
        if word is not None:
            return isinstance(told, dict) and _holds(told.get(word), equals, pattern)
        if steps is not None:
            return any(_holds(value, equals, pattern) for value in _values(body, steps))
        return statuses is not None or (pattern is not None and _anywhere(body, pattern))

    return test


def _holds(value: Any, equals: frozenset[str] | None, pattern: Any) -> bool:
    if equals is None and pattern is None:
        return bool(value)  # the path alone: something is there
    if isinstance(value, dict | list) or value is None:
        return False
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if equals is not None and text not in equals:
        return False
    return pattern is None or pattern.search(text) is not None


def _anywhere(body: Any, pattern: Any) -> bool:
    return isinstance(body, dict | list) and pattern.search(orjson.dumps(body).decode()) is not None


def _values(body: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    """What stands at a dotted path; `*` is every member of a map or list, a number an item of a list."""
    if not steps:
        yield body
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        members = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
        for member in members:
            yield from _values(member, rest)
    elif isinstance(body, dict):
        if step in body:
            yield from _values(body[step], rest)
    elif isinstance(body, list) and step.isdigit() and int(step) < len(body):
        yield from _values(body[int(step)], rest)
