"""`limits:` as the plan holds them, their defaults applied."""

from __future__ import annotations

from typing import Final, Literal

from engine.compiler.expr import fields_read
from engine.compiler.lower import Lowerer
from engine.plan import money
from engine.plan.money import OnStateLoss
from engine.plan.values import Expr
from engine.spec import limit as written
from engine.spec.defaults import LIMIT_QUEUE, LOCAL_SHARE

#: What belongs to one customer: a value of it is nobody else's.
_OWN: Final = frozenset({"key.id", "key.name", "key.org"})


def lower_limits(low: Lowerer, state: str) -> dict[str, money.Limit]:
    """Every limit of the workspace, by name.

    `scope: host` is the store's own scope where that is a file of the host: all its processes count in it. In
    memory and beside a store of several hosts, each process counts by itself.
    """
    of_host = state.startswith("sqlite:")
    return {name: _limit(low, name, spec, of_host) for name, spec in sorted(low.spec.limits.items())}


def _limit(low: Lowerer, name: str, spec: written.Limit, of_host: bool) -> money.Limit:
    per = low.expressions.get(("limits", name, "per"))
    exceed = spec.on_exceed
    queue = exceed if isinstance(exceed, written.Queue) else None
    jump = exceed if isinstance(exceed, written.Jump) else None
    loss: OnStateLoss = spec.on_state_loss or "local_share"
    return money.Limit(
        name=name,
        per=per,
        requests=_rate(spec.requests, spec.count),
        tokens=_rate(spec.tokens, spec.count),
        concurrent=spec.concurrent,
        on_exceed="queue" if queue is not None else "use" if jump is not None else "reject",
        wait_ms=0 if queue is None else queue.queue,
        queue=0 if queue is None else queue.most or LIMIT_QUEUE,
        use=None if jump is None else jump.use,
        scope="host" if spec.scope == "host" and not of_host else "fleet",
        on_state_loss=loss,
        share=0.0 if loss == "reject" else LOCAL_SHARE if spec.share is None else spec.share,
        told=of_one(per) if spec.headers is None else spec.headers,
    )


def _rate(spec: written.Throughput | None, count: Literal["bucket", "sliding"]) -> money.Rate | None:
    if spec is None:
        return None
    amount, period_ms = spec.rate
    return money.Rate(amount, period_ms, amount if spec.burst is None else spec.burst, count)


def of_one(per: Expr | None) -> bool:
    """Whether each partition is one customer's own, so that telling how it stands tells nothing of others.

    What a request says (`request.user`) may be said by two customers, and a tag is borne by many.
    """
    read = set() if per is None else fields_read(per)
    return not _OWN.isdisjoint(read) and all(name.startswith("key.") for name in read)
