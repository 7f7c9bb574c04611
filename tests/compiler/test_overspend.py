"""How far a budget can be overspent, by where it is counted."""

from __future__ import annotations

import pytest

from engine.compiler.overspend import Counting, Store, counting, overspend
from engine.plan.money import Budget, Window
from engine.spec.settings import Settings

DOLLARS = Budget("b", "cost", 100 * 10**9, Window("month"))
TOKENS = Budget("b", "tokens", 1_000_000, Window("day"), on_state_loss="local_share", share=0.05)


FORGOTTEN = "memory: forgotten at every restart, "
ALONE = (
    "Redis: 0 tokens; while it is away at most 1 x 50k tokens = 50k tokens (as many more for each further "
    "host)"
)
CASES = [
    (DOLLARS, Counting("memory"), 100, f"{FORGOTTEN}so up to $100 more after each"),
    (
        DOLLARS,
        Counting("memory", workers=4),
        400,
        f"{FORGOTTEN}and each of 4 workers counts for itself: $300 more between restarts",
    ),
    (
        DOLLARS,
        Counting("memory", 2, 2),
        400,
        f"{FORGOTTEN}and each of 4 processes on 2 hosts counts for itself: $300 more between restarts",
    ),
    (DOLLARS, Counting("sqlite", None, 8), 0, "SQLite: $0 on this host; each further host counts for itself"),
    (DOLLARS, Counting("sqlite", 1), 0, "SQLite: $0 on this host"),
    (DOLLARS, Counting("sqlite", 3), 200, "SQLite: $0 on a host, and each of 3 counts for itself: $200"),
    (
        TOKENS,
        Counting("sqlite", 1, 2),
        100_000,
        (
            "SQLite: 0 tokens on this host; while the file cannot be written at most 2 x 50k tokens = 100k "
            "tokens"
        ),
    ),
    (
        DOLLARS,
        Counting("redis", 3, 2),
        0,
        "Redis: $0; while it is away each process spends what it had drawn, and then rejects",
    ),
    (
        TOKENS,
        Counting("redis", 3, 2),
        300_000,
        "Redis: 0 tokens; while it is away at most 6 x 50k tokens = 300k tokens",
    ),
    (
        TOKENS,
        Counting("redis"),
        50_000,
        ALONE,
    ),
]


@pytest.mark.parametrize(("budget", "where", "amount", "words"), CASES)
def test_the_bound(budget: Budget, where: Counting, amount: int, words: str) -> None:
    bound = overspend(budget, where)
    assert bound.words == words
    assert bound.amount == amount * (10**9 if budget is DOLLARS else 1)


@pytest.mark.parametrize(
    ("state", "store"),
    [("memory", "memory"), ("sqlite:.engine/state.db", "sqlite"), ("redis://h:6379/0", "redis")],
)
def test_where_engine_yaml_counts(state: str, store: Store) -> None:
    settings = {"state": state, "workers": 2}
    assert counting(Settings.model_validate(settings)) == Counting(store, None, 2)
    assert counting(Settings.model_validate({**settings, "replicas": 3})) == Counting(store, 3, 2)
