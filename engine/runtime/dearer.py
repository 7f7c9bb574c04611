"""What a client could buy dearer than any price that is known: refused where money is counted.

Vendors sell quicker answers at a multiple of the price, by a field of the request. No price book has that, so
neither would a budget's worst case, nor what is settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.errors import NotAdmitted
from engine.runtime.run import Run

#: Field of a request -> its values that cost what is known, or less.
_USUAL: Final[Mapping[str, frozenset[str]]] = {
    "service_tier": frozenset(
        {"auto", "default", "standard", "standard_only", "on_demand", "flex", "batch", "unspecified"}
    ),
    "speed": frozenset({"standard", "normal"}),
}


def check(run: Run) -> None:
    """Raises NotAdmitted (400)."""
    _among(run.request)
    if run.inbound.body:
        _among(run.inbound.body)


def _among(fields: Mapping[str, Any]) -> None:
    for name, usual in _USUAL.items():
        value = fields.get(name)
        if isinstance(value, str) and value.lower() not in usual:
            raise NotAdmitted(
                f"{name} is {value!r}, whose price is not known, and what this model costs is counted here: "
                f"leave {name} out, or have a deployment made with that in its `params`, and its `price`",
                status=400,
                code="not_admitted",
                param=name,
            )
