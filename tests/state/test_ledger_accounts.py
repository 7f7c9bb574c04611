"""Limits as accounts: what a process may use by itself while the store is away."""

from __future__ import annotations

import pytest

from engine.plan.money import Limit, Rate
from engine.state.ledger_accounts import limit_accounts


@pytest.mark.parametrize(
    ("share", "amount", "expected"),
    [(0.05, 600, 30), (0.05, 20, 1), (0.05, 5, 1), (0.05, 1, 1), (0.0, 5, 0), (1.0, 5, 5)],
)
def test_a_small_limit_lets_in_one_at_least(share: float, amount: int, expected: int) -> None:
    limit = Limit("a", requests=Rate(amount, 60_000, amount), concurrent=amount, share=share)
    counted = limit_accounts(limit, "k")
    assert {measure: account.share for measure, account in counted.items()} == {
        "requests": expected,
        "concurrent": expected,
    }
