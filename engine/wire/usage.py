"""A vendor's counts made canonical: all input in `input_tokens`, all output in `output_tokens`.

What a format's counts include its dialect file says (`usage:`). Counts that cannot be (negative, fractions,
texts) are left out, so that nobody is billed by them: a missing count is estimated by the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from engine.plan.values import Json
from engine.wire.canonical import Usage

_COUNTS: Final = frozenset({
    "input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "search_units",
})  # fmt: skip
#: More tokens than any model reads or writes in a call: a count beyond it is a fault, not a bill.
_ABSURD: Final = 1_000_000_000


def bind(semantics: Mapping[str, Json]) -> Callable[[Any], Usage]:
    """The function that makes a read usage canonical, for a dialect's `usage:` section."""
    with_cached = semantics.get("input_includes_cached", True)
    with_reasoning = semantics.get("output_includes_reasoning", True)

    def usage_of(told: Any) -> Usage:
        if not isinstance(told, dict):
            return {}
        usage: dict[str, Any] = {
            name: value
            for name, value in told.items()
            if name in _COUNTS and type(value) is int and 0 <= value <= _ABSURD
        }
        uses = told.get("tool_uses")
        if isinstance(uses, dict):
            counts = {name: n for name, n in uses.items() if type(n) is int and 0 < n <= _ABSURD}
            if counts:
                usage["tool_uses"] = counts
        cost = told.get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e6:
            usage["cost"] = float(cost)
        if not with_cached and "input_tokens" in usage:
            usage["input_tokens"] += usage.get("cached_tokens", 0) + usage.get("cache_write_tokens", 0)
        if not with_reasoning and "output_tokens" in usage:
            usage["output_tokens"] += usage.get("reasoning_tokens", 0)
        return cast(Usage, usage)

    return usage_of
