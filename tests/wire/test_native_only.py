"""What only a request's own format can carry is found in a client's body."""

from __future__ import annotations

from typing import Any

import pytest

from engine.wire.native_only import bind

FIND = bind(("previous_id", "background", "input.type=item_reference", "deep.flag"))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, None),
        ({"background": False, "previous_id": None}, None),
        ({"background": True}, "background"),
        ({"previous_id": "x"}, "previous_id"),
        ({"input": "item_reference"}, None),
        ({"input": [{"type": "message"}, 5, {"type": "item_reference"}]}, "input.type=item_reference"),
        ({"input": {"type": "item_reference"}}, "input.type=item_reference"),
        ({"deep": {"flag": False}}, None),
        ({"deep": [{"flag": 1}]}, "deep.flag"),
    ],
)
def test_find(body: dict[str, Any], found: str | None) -> None:
    assert FIND(body) == found
