"""The printed defaults: what applies where a file says nothing. One table, read by lowering, schemas and
pages.
"""

from __future__ import annotations

from typing import Final

from engine.units import show_count, show_duration, show_size

#: The failure classes, in the order of the language; `group:` names stand for several.
FAILURES: Final = (
    "rate_limited",
    "quota_exhausted",
    "overloaded",
    "timeout",
    "connect",
    "server",
    "auth",
    "permission",
    "not_found",
    "context_length",
    "content_policy",
    "bad_request",
    "unsupported",
    "cut",
    "invalid_output",
    "full",
    "cancelled",
)

#: Group -> its classes.
FAILURE_GROUPS: Final = {
    "transient": ("rate_limited", "overloaded", "timeout", "connect", "server", "cut", "full"),
}

#: These end a request wherever they happen: no list can name them.
NEVER_MOVES_ON: Final = ("bad_request", "cancelled")

#: Only these are ever retried in place, by the group or by name.
RETRIED: Final = ("connect", "server", "cut", "rate_limited")
#: These only when `retry.failures` names the class itself.
RETRIED_IF_NAMED: Final = ("timeout", "overloaded")

MOVES_ON: Final = (
    "transient",
    "quota_exhausted",
    "auth",
    "permission",
    "not_found",
    "context_length",
    "unsupported",
)
CONNECT_MS: Final = 5_000
FIRST_TOKEN_MS: Final = 30_000
IDLE_MS: Final = 30_000
TOTAL_MS: Final = 600_000
#: Of a vendor's answer in one piece: nothing comes before its end, so silence and work look the same.
WHOLE_MS: Final = 120_000
RETRY_EXTRA: Final = 1
RETRY_FAILURES: Final = ("transient",)
RETRY_BACKOFF_MS: Final = 200

LISTEN: Final = "127.0.0.1:8080"
STATE: Final = "memory"
BODY_LIMIT: Final = 20 * 2**20
DRAIN_MS: Final = 30_000
WORKERS: Final = 1

#: Where -> default, as it is printed: `engine docs` makes the table of defaults from it.
PRINTED: Final = {
    "timeout.connect": show_duration(CONNECT_MS),
    "timeout.first_token": show_duration(FIRST_TOKEN_MS),
    "timeout.idle": show_duration(IDLE_MS),
    "timeout.total": (
        f"{show_duration(TOTAL_MS)}; {show_duration(WHOLE_MS)} for a vendor's answer in one piece, that is "
        "where the client does not stream and neither `first_token` nor `idle` is written"
    ),
    "retry.extra": str(RETRY_EXTRA),
    "retry.failures": f"[{', '.join(RETRY_FAILURES)}]",
    "retry.backoff": show_duration(RETRY_BACKOFF_MS),
    "failures": f"[{', '.join(MOVES_ON)}]",
    "stream.switch_until": "first_token",
    "stream.on_cut": "error",
    "reply_model": "served",
    "match.models": "the route's name",
    "match.operations": "[chat]",
    "admit.n": "1",
    "admit.images": "0",
    "admit.audio": "0",
    "admit.files": "0",
    "admit.hosted_tools": "[]",
    "balance.rank": "weight",
    "balance.tries": "all members",
    "reject.status": "403",
    "deployment.region": "the provider file's default region",
    "deployment.credentials": "what the provider file's `auth` names",
    "listen": LISTEN,
    "admin": "on `listen`, while that is loopback",
    "state": STATE,
    "workers": show_count(WORKERS),
    "body_limit": show_size(BODY_LIMIT),
    "drain": show_duration(DRAIN_MS),
    "watch": "true",
}


def expand(names: tuple[str, ...]) -> tuple[str, ...]:
    """Failure classes with groups spread out, each once, in the order of the language."""
    wanted = {single for name in names for single in FAILURE_GROUPS.get(name, (name,))}
    return tuple(name for name in FAILURES if name in wanted)


def named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are written one by one and not through a group."""
    return tuple(name for name in FAILURES if name in names)
