"""Settings of the process that would open it to others, or that something else in the workspace needs."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import uses_clock
from engine.compiler.seal import nodes_in
from engine.kinds.balance import Balance
from engine.kinds.cache import Cache

_LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach `HOST:PORT`."""
    return address.rpartition(":")[0].startswith(_LOOPBACK)


def check(subject: Subject) -> None:
    settings = subject.settings
    keys = subject.spec.keys
    clients = keys is not None and (keys.clients or keys.jwt or keys.mtls)
    if not is_loopback(settings.listen) and not clients and settings.state == "memory":
        subject.out.add(
            "E231",
            f"`listen: {settings.listen}` lets others in, no client key is defined, and `state: memory` "
            "keeps none",
            subject.setting_place("listen"),
            help="listen on 127.0.0.1 behind a proxy that asks who it is, define `keys: {clients: ...}`, or "
            "let a state store keep keys (`engine keys new`)",
        )
    if settings.admin is not None and not is_loopback(settings.admin) and settings.admin_key is None:
        subject.out.add(
            "E232",
            f"`admin: {settings.admin}` lets others in, and there is no `admin_key`",
            subject.setting_place("admin"),
            help="add `admin_key: env:NAME`, or listen on 127.0.0.1",
        )
    if settings.state == "memory":
        subject.out.add(
            "N230",
            "`state: memory`: budgets, limits and health last as long as the process",
            subject.setting_place("state") if "state" in settings.model_fields_set else None,
            help="a restart begins from zero; `state: sqlite:.engine/state.db` outlives it",
        )
    if settings.timezone is None:
        _needs_timezone(subject)
    if settings.workers > 1:
        _counted_by_worker(subject)
        _kept_by_worker(subject)


def _counted_by_worker(subject: Subject) -> None:
    """Each process counts by itself: what reads like a bound of the sidecar is one of each worker."""
    workers, lowered = subject.settings.workers, subject.lowered
    bounded = [
        (("deployments", name, "concurrent"), each.concurrent)
        for name, each in lowered.deployments.items()
        if each.concurrent is not None
    ]
    bounded += [
        (("routes", name, "concurrent"), each.concurrent)
        for name, each in lowered.routes.items()
        if each.concurrent is not None
    ]
    for path, concurrent in bounded:
        subject.out.add(
            "N262",
            f"each of the {workers} workers counts by itself: {workers} x {concurrent.most} may be open",
            subject.document.span(path),
            help=f"for {concurrent.most} in all, write {max(1, concurrent.most // workers)}",
        )
    money, memory = lowered.money, subject.settings.state == "memory"
    apart = [("budgets", name) for name in sorted(money.budgets) if memory]
    # N270 says it of the other limits.
    apart += [("limits", name) for name, each in sorted(money.limits.items()) if each.scope == "host"]
    for section, name in apart:
        subject.out.add(
            "N262",
            f"each of the {workers} workers counts `{name}` by itself: {workers} times as much may be used",
            subject.document.key_span((section, name)),
            help="`state: sqlite:.engine/state.db` counts over all of them"
            if memory
            else "without `scope: host` all of them count together, in Redis",
        )


def _kept_by_worker(subject: Subject) -> None:
    """What is kept in memory is kept by each worker: who comes to another one is not known there."""
    workers = subject.settings.workers
    for start in [*(r.start for r in subject.lowered.routes.values()), *subject.lowered.nodes.values()]:
        for node in nodes_in(start):
            if isinstance(node, Cache):
                key, what = "cache", "answers"
            elif isinstance(node, Balance) and node.sticky is not None and node.rank != "weight":
                key, what = "sticky", "who is where"
            else:
                continue
            subject.out.add(
                "N262",
                f"each of the {workers} workers keeps {what} by itself",
                subject.document.key_span((*subject.places[node.id], key)),
                help="a hash places users alike in all workers: `rank: weight`, or `split` with `sticky`"
                if key == "sticky"
                else "a request that comes to another worker is asked once more there",
            )


def _needs_timezone(subject: Subject) -> None:
    for path, expr in sorted(
        subject.expressions.items(), key=lambda item: str(subject.document.span(item[0]))
    ):
        if uses_clock(expr):
            subject.out.add(
                "E233",
                "this reads the clock, and the workspace has no time zone",
                subject.document.span(path),
                help="add `timezone: Europe/Berlin` (or yours) to engine.yaml: on every machine it is the "
                "same hour then",
            )
