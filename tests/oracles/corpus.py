"""The corpus: canonical requests of every feature, alone and together (`corpus.yaml`)."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from engine.wire.canonical import Request


@cache
def _corpus() -> dict[str, Request]:
    text = (Path(__file__).parent / "corpus.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    return {
        name: cast(Request, {"operation": "chat", "model": "assistant", **_spread(request)})
        for name, request in found.items()
        if not name.startswith("x-")
    }


def _spread(value: Any) -> Any:
    """Values as they are meant, `$repeat` written out; nothing is shared between two requests."""
    if isinstance(value, dict):
        if "$repeat" in value:
            return value["$repeat"] * value["times"]
        return {key: _spread(item) for key, item in value.items()}
    return [_spread(item) for item in value] if isinstance(value, list) else value


def names() -> list[str]:
    """What the requests are called, in the order of the file."""
    return list(_corpus())


def request(name: str) -> Request:
    """A request of its own, to be changed at will."""
    return deepcopy(_corpus()[name])
