"""The digest of a plan's price book: of what its deployments cost, by whichever source.

Two plans with the same digest price every call alike. The prices themselves are facts of the deployments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from engine.plan.codec import canonical
from engine.plan.types import Deployment
from engine.plan.vendors import PriceRow


def book_digest(deployments: Mapping[str, Deployment]) -> str:
    """sha256 over the names and price rows of all deployments."""
    found = hashlib.sha256()
    known: dict[tuple[PriceRow, ...], bytes] = {}  # thousands of deployments share a few prices
    for name, deployment in sorted(deployments.items()):
        rows = deployment.facts.prices
        text = known.get(rows)
        if text is None:
            text = known[rows] = canonical(rows)
        found.update(canonical([name, deployment.uncounted]))
        found.update(text)
        if deployment.facts.tools:
            found.update(canonical(deployment.facts.tools))
    return found.hexdigest()
