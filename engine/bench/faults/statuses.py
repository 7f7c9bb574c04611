"""Faults that are an answer with a status: one row each, all from one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from engine.bench.faults.exchange import Exchange
from engine.bench.faults.fault import Fault, fault, table

#: A header's row, or what makes it for a request.
Header = str | Callable[[Exchange], str]


def _seconds(seconds: float) -> Callable[[Exchange], str]:
    """`Retry-After` in seconds; shortened with all other pauses."""

    def written(exchange: Exchange) -> str:
        wait = seconds * exchange.quicker
        return f"retry-after: {wait:g}"

    return written


def _date(seconds: float) -> Callable[[Exchange], str]:
    """`Retry-After` as an HTTP date so many seconds from now."""

    def written(_: Exchange) -> str:
        return (
            f"retry-after: {format_datetime(datetime.fromtimestamp(time.time() + seconds, UTC), usegmt=True)}"
        )

    return written


@dataclass(frozen=True, slots=True)
class Status:
    """An error answer."""

    name: str
    status: int
    code: str
    serves: str
    headers: tuple[Header, ...] = ()
    what: str = ""

    def fault(self) -> Fault:
        """As a row of the catalogue."""
        with_ = f", {self.what}" if self.what else ""
        return fault(self.name, f"{self.status} `{self.code}`{with_}", self.serves, self._play)

    async def _play(self, exchange: Exchange) -> None:
        rows = [row if isinstance(row, str) else row(exchange) for row in self.headers]
        await exchange.refuse(self.status, self.code, f"the fault provider says {self.code}", *rows)


_LIMIT: Final = "rate_limit_exceeded"

ROWS: Final = (
    Status("429", 429, _LIMIT, "U17 S02", (), "no header"),
    Status("429-2s", 429, _LIMIT, "U14 S01", (_seconds(2),), "`Retry-After: 2`"),
    Status("429-1min", 429, _LIMIT, "U14", (_seconds(60),), "`Retry-After: 60`"),
    Status("429-100ms", 429, _LIMIT, "U16", ("retry-after-ms: 100",), "`retry-after-ms: 100`"),
    Status("429-date", 429, _LIMIT, "U15", (_date(2),), "`Retry-After` a date in 2 s"),
    Status("429-past", 429, _LIMIT, "U15", (_date(-3600),), "`Retry-After` a date an hour ago"),
    Status(
        "429-2099",
        429,
        _LIMIT,
        "U15",
        ("retry-after: Thu, 01 Jan 2099 00:00:00 GMT",),
        "`Retry-After` in 2099",
    ),
    Status("429-5min", 429, _LIMIT, "U15", ("retry-after: 300",), "`Retry-After: 300`"),
    Status(
        "429-both", 429, _LIMIT, "U16", ("retry-after: 60", "retry-after-ms: 250"), "60 s and 250 ms: ms win"
    ),
    Status("429-no-retry", 429, _LIMIT, "U16", ("x-should-retry: false",), "`x-should-retry: false`"),
    Status("429-quota", 429, "insufficient_quota", "U12", (), "no money left"),
    Status("400", 400, "invalid_value", "U18"),
    Status("400-context", 400, "context_length_exceeded", "S12"),
    Status("400-policy", 400, "content_policy_violation", "S13"),
    Status("401", 401, "invalid_api_key", "U18"),
    Status("402", 402, "insufficient_balance", "U18"),
    Status("403", 403, "permission_denied", "U18"),
    Status("404", 404, "model_not_found", "U18"),
    Status("408", 408, "request_timeout", "U18"),
    Status("500", 500, "server_error", "U19 S03"),
    Status("500-no-retry", 500, "server_error", "U16", ("x-should-retry: false",), "`x-should-retry: false`"),
    Status("400-retry", 400, "try_again", "U16", ("x-should-retry: true",), "`x-should-retry: true`"),
    Status("502", 502, "bad_gateway", "U18"),
    Status("503", 503, "service_unavailable", "U18 S04 S15 S16"),
    Status("503-2s", 503, "service_unavailable", "U18", (_seconds(2),), "`Retry-After: 2`"),
    Status("504", 504, "gateway_timeout", "U18"),
    Status("529", 529, "overloaded_error", "U18"),
)

STATUSES: Final = table(*(row.fault() for row in ROWS))
