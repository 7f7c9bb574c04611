"""`leading` and `following`: a list in two, at the first element that is another."""

from __future__ import annotations

from typing import Any

import pytest

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
