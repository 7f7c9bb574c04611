"""What vendors say is left of their quotas: read off the headers of every answer, kept for who asks."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from engine.plan.vendors import Headroom
from engine.wire.delays import delay_ms


@dataclass(slots=True)
class Left:
    """What a vendor last said of one quota. `limit` None: it did not; `resets_at`: epoch seconds."""

    left: float
    limit: float | None
    resets_at: float | None


class HeadroomSeen:
    """The last word of one provider on each of its deployments."""

    def __init__(self, headers: Mapping[str, Headroom]) -> None:
        self._headers = tuple(headers.items())
        self._seen: dict[tuple[str, str], Left] = {}

    def read(self, deployment: str, headers: Mapping[str, str]) -> None:
        """An answer of that deployment has come. Headers that are missing or no numbers say nothing."""
        for what, names in self._headers:
            left = _number(headers.get(names.left))
            if left is None:
                continue
            now = time.time()
            resets = headers.get(names.resets) if names.resets is not None else None
            delay = None if resets is None else delay_ms(resets, now=now)
            limit = _number(headers.get(names.limit)) if names.limit is not None else None
            self._seen[deployment, what] = Left(left, limit, None if delay is None else now + delay / 1000)

    def forget(self, but: Container[str]) -> None:
        """Forget deployments, all but these."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in but}

    def share(self, deployment: str) -> float:
        """What is left of its tightest quota, from 0 to 1; NaN where the vendor has said nothing to tell by.

        A quota that has begun anew since is full. One whose limit was not told says something at zero only.
        """
        now, least = time.time(), math.nan
        for what, _ in self._headers:
            seen = self._seen.get((deployment, what))
            if seen is None:
                continue
            if seen.resets_at is not None and seen.resets_at <= now:
                share = 1.0
            elif seen.limit:
                share = min(seen.left / seen.limit, 1.0)
            elif seen.left == 0:
                share = 0.0
            else:
                continue
            least = share if math.isnan(least) else min(least, share)
        return least

    def rows(self) -> Iterator[tuple[str, str, Left]]:
        """(deployment, quota, what is left of it)."""
        for (deployment, what), left in list(self._seen.items()):
            yield deployment, what, left


def _number(text: str | None) -> float | None:
    """A count in a header: a finite number that is not negative."""
    try:
        found = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None
