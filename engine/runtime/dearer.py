"""What a client could buy dearer than any price that is known: refused where money is counted.

Which fields these are, the client's format says of its body, and the formats of the targets of what is
written for them: `costs.dearer` of the dialects (`wire/costs.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import NotAdmitted
from engine.runtime.run import Run
from engine.wire.costs import Bought


def check(run: Run) -> None:
    """Raises NotAdmitted (400)."""
    for bought in _bought(run):
        if bought is not None:
            raise NotAdmitted(bought.why, status=400, code="not_admitted", param=bought.field)


def _bought(run: Run) -> Iterator[Bought | None]:
    inbound = run.inbound
    if inbound.body and inbound.dialect is not None:
        yield run.snapshot.dialect(inbound.dialect).costs.dearer(inbound.body)
    for name in {face.dialect for place in run.bound.places.values() for face in place.faces}:
        if name is not None and name != inbound.dialect:
            yield run.snapshot.dialect(name).costs.dearer_there(run.request, inbound.operation)
