"""The printed defaults: what applies where a file says nothing. One table, read by lowering, schemas and
pages.
"""

from __future__ import annotations

from typing import Final

from engine.plan.types import Breaker
from engine.policies.admission import USUAL
from engine.policies.failures import MOVES_ON, RETRIED
from engine.units import show_count, show_duration, show_ratio, show_sample, show_size

CONNECT_MS: Final = 5_000
FIRST_TOKEN_MS: Final = 30_000
IDLE_MS: Final = 30_000
TOTAL_MS: Final = 600_000
#: Of a vendor's answer in one piece: nothing comes before its end, so silence and work look the same.
WHOLE_MS: Final = 120_000
RETRY_EXTRA: Final = 1
RETRY_BACKOFF_MS: Final = 200
BREAKER: Final = Breaker()
PROBE_EVERY_MS: Final = 30_000
PROBE_TIMEOUT_MS: Final = 5_000
#: How long a place of `concurrent` is waited for, where there is a queue.
QUEUE_WAIT_MS: Final = 5_000
#: The part of a budget that each process may use by itself while the store is away (`local_share`).
LOCAL_SHARE: Final = 0.05
#: How many requests of a partition may wait for room in a limit, in each process.
LIMIT_QUEUE: Final = 100
#: How long a value of `sticky` is remembered after its last request.
STICKY_TTL_MS: Final = 3_600_000

LISTEN: Final = "127.0.0.1:8080"
STATE: Final = "sqlite:.engine/state.db"
BODY_LIMIT: Final = 20 * 2**20
DRAIN_MS: Final = 30_000
HEARTBEAT_MS: Final = 15_000
WORKERS: Final = 1
LAG_MS: Final = 500
IDEMPOTENCY_MS: Final = 600_000
FILES: Final = 0.95
MEMORY: Final = 0.95
DEBOUNCE_MS: Final = 50
USAGE_KEEP_MS: Final = 90 * 86_400_000
USAGE_SUMS_MS: Final = 400 * 86_400_000

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
    "retry.failures": f"[{', '.join(RETRIED)}]",
    "retry.backoff": show_duration(RETRY_BACKOFF_MS),
    "failures": f"[{', '.join(MOVES_ON)}]",
    "concurrent.queue": "nobody waits",
    "concurrent.wait": f"{show_duration(QUEUE_WAIT_MS)}, where there is a queue",
    "route.priority": str(USUAL),
    "route.fair_by": "key.id",
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
    "balance.sticky.ttl": show_duration(STICKY_TTL_MS),
    "reject.status": "403",
    "deployment.region": "the provider file's default region",
    "deployment.credentials": "what the provider file's `auth` names",
    "deployment.price": "what its model's facts say; local models cost nothing",
    "deployment.breaker": (
        f"{{open_at: {show_ratio(BREAKER.open_at)}, of: {show_sample(BREAKER.calls, BREAKER.window_ms)}, "
        f"for: {show_duration(BREAKER.pause_ms)}}}"
    ),
    "probe.every": show_duration(PROBE_EVERY_MS),
    "budget.on_state_loss": "reject",
    "budget.share": show_ratio(LOCAL_SHARE),
    "limit.burst": "as many as the rate has in its time",
    "limit.queue.most": show_count(LIMIT_QUEUE),
    "limit.count": "bucket",
    "limit.scope": "fleet: over all that share the state store",
    "limit.on_state_loss": "local_share",
    "limit.share": show_ratio(LOCAL_SHARE),
    "limit.headers": "where `per` reads the client key's id, name or organisation, and nothing but the key",
    "probe.timeout": show_duration(PROBE_TIMEOUT_MS),
    "listen": LISTEN,
    "admin": "on `listen`, while that is loopback",
    "state": STATE,
    "workers": show_count(WORKERS),
    "replicas": "nobody says: bounds are told of one host",
    "body_limit": show_size(BODY_LIMIT),
    "drain": show_duration(DRAIN_MS),
    "heartbeat": show_duration(HEARTBEAT_MS),
    "watch": "true",
    "idempotency": show_duration(IDEMPOTENCY_MS),
    "overload.lag": show_duration(LAG_MS),
    "overload.files": f"{FILES:.0%}",
    "overload.memory": f"{MEMORY:.0%}",
    "debounce": show_duration(DEBOUNCE_MS),
    "usage": "kept in `usage.db` beside the state file, where there are keys, groups, budgets, limits or "
    "policies, or `state` is a Redis; nowhere with `state: memory`",
    "usage.file": "`usage.db` beside the state file, else `.engine/usage.db`",
    "usage.keep": show_duration(USAGE_KEEP_MS),
    "usage.sums": show_duration(USAGE_SUMS_MS),
    "usage.required": "false",
}
