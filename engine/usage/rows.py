"""A decision record as rows of the usage store: one for each call, and one for a request that made none.

Of all rows of a request exactly one stands for the request itself (`requests` is 1): that of the call that
served it, else of the last one. So any sum over rows counts requests once, and calls, tokens and money as
often as they happened. A copy and a probe, which no client waited for, are calls without a request.

Content-free, as the record is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

from engine.runtime.record import AttemptRecord, BudgetUse, DecisionRecord

HOUR_MS: Final = 3_600_000

#: Who asked. Kept once for each combination; an empty text where there is none.
CALLER: Final = ("key", "key_name", "org", "tags")
#: What was asked, and who was called in which part. Kept once, too.
WAY: Final = ("route", "operation", "dialect", "role", "deployment", "provider", "model", "credential")
#: The other columns of a row. Times within a request are ms after it began.
FACTS: Final = (
    "id",
    "attempt",  # 0: no call was made
    "at_ms",  # when the request began, epoch ms
    "slot_ms",  # the hour of that, in the workspace's time zone
    "requests",
    "part_of",  # of a copy: the request's id
    "asked",  # the model that the client named
    "revision",
    "stream",
    "request_failure",
    "refused_by",  # the budget or limit that had no room for the request
    "request_status",
    "cache",
    "variant",
    "finish",
    "duration_ms",
    "failure",
    "status",
    "started_ms",
    "first_token_ms",
    "ended_ms",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "search_units",
    "estimated",  # 1: counted by the engine, as the vendor said nothing
    "cost_nanos",
    "priced",  # 0: a price was missing, the cost is a bound from below
    "reserved_nanos",
    "closed",
    "budgets",  # what the call held and used of each, as JSON
)
COLUMNS: Final = (*CALLER, *WAY, *FACTS)
#: Of these an empty text stands for what did not happen; it becomes NULL in the file. (Python's sqlite3 takes
#: ten times as long over None as over a text.)
NULLABLE: Final = frozenset(
    (
        "part_of",
        "request_failure",
        "refused_by",
        "request_status",
        "cache",
        "variant",
        "finish",
        "duration_ms",
        "failure",
        "status",
        "started_ms",
        "first_token_ms",
        "ended_ms",
        "closed",
        "budgets",
    )
)

#: How a request ended, in the rows that do not stand for it.
_NOT_TOLD: Final = ("",) * 7
#: From `failure` on, where no call was made.
_NO_CALL: Final = ("",) * 5 + (0,) * 6 + (0, 0, 1, 0, "", "")

#: Of a call's usage; in the order of the columns.
_COUNTED: Final = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "search_units",
)

#: Clients name models, where a route takes any name: longer ones are cut.
_LONGEST: Final = 256
#: A vendor may say anything of a call: more is cut, so that no sum leaves 64 bits.
_MOST: Final = 10**15

Caller = tuple[str, ...]
Way = tuple[str, ...]
Facts = tuple[Any, ...]


def slot_of(at_ms: int, zone: tzinfo | None) -> int:
    """When the hour began that `at_ms` is in. In most zones hours begin with those of UTC."""
    shift = 0 if zone is None else _shift(at_ms // 60_000, zone)
    return (at_ms + shift) // HOUR_MS * HOUR_MS - shift


@lru_cache(maxsize=64)
def _shift(minute: int, zone: tzinfo) -> int:
    """How much later than those of UTC its hours begin, in ms."""
    offset = datetime.fromtimestamp(minute * 60, zone).utcoffset() or timedelta()
    return round(offset.total_seconds() * 1000) % HOUR_MS


def rows_of(record: DecisionRecord, zone: tzinfo | None = None) -> Iterator[tuple[Caller, Way, Facts]]:
    """The rows of a record. zone: the workspace's."""
    at_ms = _at_ms(record.at)
    apart = record.aside_of is not None or record.probe_of is not None
    tags = tuple(record.tags.items()) if record.tags else ()
    caller = _caller(record.key, record.key_name, record.org, tags)
    request = _Request(record, at_ms, slot_of(at_ms, zone))
    stands = None if apart else _standing(record)
    for attempt in record.attempts:
        yield caller, request.way(attempt), request.facts(attempt, attempt is stands)
    if not record.attempts and not apart:
        yield caller, request.way(None), request.facts(None, True)


def _at_ms(at: str) -> int:
    """A record's moment as epoch ms. Those of one second are alike but for their last digits."""
    if len(at) == 29 and at[19] == ".":
        return _second_ms(at[:19], at[23:]) + int(at[20:23])
    return round(datetime.fromisoformat(at).timestamp() * 1000)


@lru_cache(maxsize=64)
def _second_ms(second: str, zone: str) -> int:
    return round(datetime.fromisoformat(second + zone).timestamp() * 1000)


@lru_cache(maxsize=4_096)
def _caller(
    key: str | None, key_name: str | None, org: str | None, tags: tuple[tuple[str, str], ...]
) -> Caller:
    return (_text(key), _text(key_name), _text(org), _tags(dict(tags)))


@lru_cache(maxsize=4_096)
def _way(*names: str | None) -> Way:
    return tuple(_text(name) for name in names)


class _Request:
    """What all rows of a record share."""

    __slots__ = ("_at", "_record", "_slot")

    def __init__(self, record: DecisionRecord, at_ms: int, slot_ms: int) -> None:
        self._record, self._at, self._slot = record, at_ms, slot_ms

    def way(self, attempt: AttemptRecord | None) -> Way:
        record = self._record
        if attempt is None:
            return _way(record.route, record.operation, record.dialect, None, None, None, None, None)
        return _way(
            record.route,
            record.operation,
            record.dialect,
            attempt.role,
            attempt.deployment,
            attempt.provider,
            attempt.model,
            attempt.credential,
        )

    def facts(self, attempt: AttemptRecord | None, stands: bool) -> Facts:
        record = self._record
        return (
            _text(record.id),
            0 if attempt is None else attempt.number,
            self._at,
            self._slot,
            1 if stands else 0,
            record.aside_of or "",
            _text(record.model),
            record.revision,
            1 if record.stream else 0,
            *(_ended(record) if stands else _NOT_TOLD),
            *(_NO_CALL if attempt is None else _call(attempt)),
        )


def _ended(record: DecisionRecord) -> Facts:
    return (
        record.failure or "",
        record.refused_by or "",
        record.status,
        record.cache or "",
        record.variant or "",
        record.finish or "",
        _moment(record.duration_ms),
    )


def _call(attempt: AttemptRecord) -> Facts:
    said, cost = attempt.usage, attempt.cost
    return (
        attempt.failure or "",
        attempt.status or "",
        attempt.started_ms,
        _moment(attempt.first_token_ms),
        _moment(attempt.ended_ms),
        *[_count(said[name]) if name in said else 0 for name in _COUNTED],  # most calls have two of them
        1 if attempt.estimated else 0,
        _count(cost.total),
        1 if cost.known else 0,
        _count(attempt.reserved),
        attempt.closed or "",
        _budgets(attempt.budgets) if attempt.budgets else "",
    )


def _moment(ms: float | None) -> float | str:
    return "" if ms is None else ms


def _budgets(uses: Sequence[BudgetUse]) -> str:
    told = [
        {"name": use.name, "partition": use.partition, "reserved": use.reserved, "settled": use.settled}
        for use in uses
    ]
    return _storable(json.dumps(told, separators=(",", ":"), ensure_ascii=False))


def _standing(record: DecisionRecord) -> AttemptRecord | None:
    """The call whose row stands for the request."""
    attempts = record.attempts
    if len(attempts) <= 1:
        return attempts[0] if attempts else None
    answers = [attempt for attempt in attempts if attempt.role in ("answer", "hedge", "continue")]
    served = [a for a in answers if a.failure is None and a.deployment == record.served_by]
    return (served or answers or attempts)[-1]


def _tags(tags: Mapping[str, str]) -> str:
    if not tags:
        return ""
    text = json.dumps(dict(tags), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _storable(text)


def _text(value: str | None) -> str:
    return _storable(value[:_LONGEST]) if value else ""


def _storable(text: str) -> str:
    """SQLite takes no text that is not UTF-8: half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _count(value: Any) -> int:
    """A number of a vendor's, within bounds."""
    if type(value) is int and 0 <= value <= _MOST:
        return value
    return int(min(value, _MOST)) if isinstance(value, int | float) and value > 0 else 0
