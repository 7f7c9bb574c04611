"""The table of checks, in the order they run. A check stands here once, and nothing scans for it."""

from __future__ import annotations

from collections.abc import Callable

from engine.compiler.checks import (
    ambiguous_match,
    budgets,
    cache_scope,
    calls_ceiling,
    capability,
    continuing,
    counters,
    credentials,
    dropped_params,
    floors,
    lossless,
    members,
    no_route,
    policies,
    prices,
    probing,
    process,
    queues,
    residency,
    retry_classes,
    served,
    timeouts,
    unranked,
    unreachable,
    unread_label,
    unused,
)
from engine.compiler.checks.subject import Subject

CHECKS: tuple[Callable[[Subject], None], ...] = (
    no_route.check,
    ambiguous_match.check,
    unused.check,
    unreachable.check,
    members.check,
    unranked.check,
    unread_label.check,
    cache_scope.check,
    credentials.check,
    floors.check,
    residency.check,
    served.check,
    capability.check,
    calls_ceiling.check,
    prices.check,
    counters.check,
    budgets.check,
    timeouts.check,
    retry_classes.check,
    queues.check,
    probing.check,
    continuing.check,
    dropped_params.check,
    lossless.check,
    policies.check,
    process.check,
)
