"""What a vendor answers with 200 may hold no answer; one that is empty by its own word is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dialects
import pytest
import yaml

BODIES: dict[str, dict[str, list[Any]]] = yaml.safe_load(
    Path(__file__).with_name("no_answers.yaml").read_text()
)


def _read(dialect: str, body: Any) -> list[Any] | None:
    """The choices that are read; None: it is no answer."""
    bound = dialects.bound(dialect)
    good = bound.operation("chat").success_when
    if good is not None and not good(body, {}, 200):
        return None
    try:
        found: list[Any] = bound.read_response("chat", body, {})["choices"]
    except ValueError:
        return None
    return found


@pytest.mark.parametrize("dialect", BODIES)
def test_what_holds_no_answer(dialect: str) -> None:
    assert [body for body in BODIES[dialect]["none"] if _read(dialect, body) is not None] == []
    assert [body for body in BODIES[dialect]["empty"] if not _read(dialect, body)] == []


def test_every_format_that_is_asked_for_chats_is_here() -> None:
    asked = [each for each in map(dialects.shipped_dialect, dialects.DIALECTS) if "chat" in each.operations]
    known = [dialects.shipped_dialect(name).operations["chat"].response_read for name in BODIES]
    assert [each.name for each in asked if each.operations["chat"].response_read not in known] == []
