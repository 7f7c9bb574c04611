"""`leading` and `following`, a list in two at the first element that is another; `fits`, for identifiers."""

from __future__ import annotations

from typing import Any

import pytest

from engine.plan.functions import fits
from engine.plan.list_functions import following, leading

SYSTEM, DEVELOPER, USER = {"role": "system"}, {"role": "developer"}, {"role": "user"}


@pytest.mark.parametrize(
    ("value", "front", "rest"),
    [
        ([], [], []),
        ([USER, SYSTEM], [], [USER, SYSTEM]),
        ([SYSTEM, DEVELOPER, USER, SYSTEM], [SYSTEM, DEVELOPER], [USER, SYSTEM]),
        ([SYSTEM], [SYSTEM], []),
        ([SYSTEM, "x", SYSTEM], [SYSTEM], ["x", SYSTEM]),
        ("text", None, None),
        (None, None, None),
    ],
)
def test_the_two_halves(value: Any, front: Any, rest: Any) -> None:
    assert leading(value, "role", "system", "developer") == front
    assert following(value, "role", "system", "developer") == rest


@pytest.mark.parametrize(
    ("value", "signs", "limit", "good"),
    [
        ("call_1", "_-", 64, True),
        ("call_1", "", 64, False),
        ("--", "_-", 2, True),
        ("", "_", 9, False),
        ("abcdefghij", "", 9, False),
        ("ä", "", 9, False),
        ("a b", "_", 9, False),
        ("a\n", "_", 9, False),
        (7, "_", 9, False),
        (None, "_", 9, False),
    ],
)
def test_an_identifier_fits(value: Any, signs: str, limit: int, good: bool) -> None:
    assert fits(value, signs, limit) is good
