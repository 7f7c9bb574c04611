"""What neither source says: rules of `sources.yaml`, put over the rows of a table in their order.

A rule names models by patterns (`*` is anything), may ask for an ability (`having`, `lacking`), an `effort`,
other facts (`where`) or an operation (chat, unless it says another), and then sets facts, gives defaults,
grants or takes abilities. Each names where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Final

#: The language's order of abilities.
_ABILITIES: Final = (
    "tools", "parallel_tools", "json_object", "json_schema", "images", "audio", "files", "reasoning",
    "prefill", "stream", "logprobs",
)  # fmt: skip
_KEYS: Final = frozenset(
    {
        "models", "but", "having", "lacking", "effort", "where", "operation", "set", "default", "grant",
        "take", "price", "source",
    }
)  # fmt: skip


def apply(rules: Iterable[Mapping[str, Any]], model: str, row: dict[str, Any]) -> list[int]:
    """Put all rules that are about this model over its row; the numbers of those that changed it."""
    used = []
    for number, rule in enumerate(rules):
        if unknown := rule.keys() - _KEYS:
            raise ValueError(f"a rule for {model} has unknown keys: {', '.join(sorted(unknown))}")
        if not rule.get("source"):
            raise ValueError(f"the rule {dict(rule)} does not say where it comes from")
        if _about(rule, model, row):
            before = deepcopy(row)
            _put(rule, row)
            if row != before:
                used.append(number)
    return used


def _about(rule: Mapping[str, Any], model: str, row: Mapping[str, Any]) -> bool:
    if not any(fnmatchcase(model, pattern) for pattern in rule.get("models", ["*"])):
        return False
    if any(fnmatchcase(model, pattern) for pattern in rule.get("but", ())):
        return False
    if row.get("operation", "chat") != rule.get("operation", "chat"):
        return False
    if "effort" in rule and rule["effort"] not in row.get("efforts", ()):
        return False
    if any(row.get(key) != value for key, value in rule.get("where", {}).items()):
        return False
    can = row.get("can")
    if "having" in rule and (can is None or rule["having"] not in can):
        return False
    return not ("lacking" in rule and (can is None or rule["lacking"] in can))


def _put(rule: Mapping[str, Any], row: dict[str, Any]) -> None:
    for key, value in rule.get("default", {}).items():
        row.setdefault(key, value)
    row.update(rule.get("set", {}))
    if "can" in row:
        can = {*row["can"], *rule.get("grant", ())} - {*rule.get("take", ())}
        row["can"] = [ability for ability in _ABILITIES if ability in can]
    for price in row.get("prices", ()) if "price" in rule else ():
        _price(price, rule["price"])


def _price(row: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """`days` of the hours in which a price holds, or prices by kind in place of those of the sources."""
    for hours in row.get("hours", ()):
        if "days" in changes:
            hours["days"] = changes["days"]
    row.update((kind, price) for kind, price in changes.items() if kind != "days")
