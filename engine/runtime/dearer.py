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
    "inference_geo": frozenset({"global"}),
}


def check(run: Run) -> None:
    """Raises NotAdmitted (400)."""
    _among(run.request)
    if run.inbound.body:
        _among(run.inbound.body)


def _among(fields: Mapping[str, Any]) -> None:
    if fields.get("background") is True:
        raise _not_bought(
            "background",
            "a call in the background ends where nobody sees what it costs, and that is counted here",
        )
    made = fields.get("best_of")
    if isinstance(made, int) and made > max(1, fields.get("n") or 1):
        raise _not_bought(
            "best_of", f"best_of is {made}, and what answers cost that nobody gets is counted here"
        )
    for name, usual in _USUAL.items():
        value = fields.get(name)
        if isinstance(value, str) and value.lower() not in usual:
            raise _not_bought(
                name,
                f"{name} is {value!r}, whose price is not known, and what this model costs is counted here: "
                f"leave {name} out, or have a deployment made with that in its `params`, and its `price`",
            )


def _not_bought(name: str, why: str) -> NotAdmitted:
    return NotAdmitted(why, status=400, code="not_admitted", param=name)
