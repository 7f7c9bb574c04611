"""A deployment's own `price:` over what the facts of its model say.

It is the last word: a region's surcharge is on the facts' prices alone. What it states holds at all times and
for inputs of every size.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from engine.compiler.models import FREE, repriced
from engine.plan.vendors import Facts
from engine.spec.price import DeploymentPrice, Prices, tool_prices

#: Where such a price comes from, as the price book tells it.
SOURCE: Final = "this workspace"


def priced(facts: Facts, price: DeploymentPrice | None) -> Facts:
    """The facts with the prices that the deployment has."""
    if price is None:
        return facts
    if not isinstance(price, Prices):
        rows = tuple(dataclasses.replace(row, source=SOURCE) for row in FREE) if price == "free" else ()
        return dataclasses.replace(facts, prices=rows, tools=None)
    if price.tools:
        facts = dataclasses.replace(facts, tools={**(facts.tools or {}), **tool_prices(price.tools)})
    stated: dict[str, Any] = {key: getattr(price, key) for key in sorted(price.model_fields_set - {"tools"})}
    if not stated:
        return facts
    if stated.get("second") is not None:
        # Who pays for the time pays for nothing else, unless it is written.
        stated = {"input": 0, "output": 0, **stated}
        facts = dataclasses.replace(facts, prices=())
    made = repriced(facts.prices, stated, SOURCE)
    if facts.prices:
        over = (f"{SOURCE}, over {row.source}" if row.source else SOURCE for row in facts.prices)
        made = tuple(dataclasses.replace(row, source=source) for row, source in zip(made, over, strict=True))
    return dataclasses.replace(facts, prices=made)
