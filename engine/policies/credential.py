"""Whether a credential may be shown: apart from rate limits, because waiting a second does not mend a key.

| what happens | the credential is |
|---|---|
| `auth` once, `permission` once or twice in a row | doubted: others are shown first, it is still used |
| `auth` twice, `permission` three times in a row | aside for `BASE_MS` of its class |
| `quota_exhausted` | aside until the vendor's reset, else for `BASE_MS` of its class |
| the same class again, after that | aside for twice as long, up to `LONGEST_MS` |
| its time is over | tried by one call; others wait `TRIAL_MS` for what comes of it |
| that call ends without saying anything of it (another failure) | tried by the next one |
| a call goes well | fine: whoever keeps this drops it |

One refusal is not enough for `auth`, as a token may just have run out, nor two for `permission`, which may be
about one request's content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The classes that are about a credential, and the refusals in a row that set it aside.
STRIKES: Final[Mapping[str, int]] = {"auth": 2, "permission": 3, "quota_exhausted": 1}
BASE_MS: Final[Mapping[str, int]] = {"auth": 1_000, "permission": 1_000, "quota_exhausted": 10_000}
LONGEST_MS: Final = 300_000
#: How long a call that tries it again keeps others away.
TRIAL_MS: Final = 5_000


class CredentialHealth:
    """One credential's, at one vendor (of `permission`: at one deployment)."""

    __slots__ = ("_row", "_trying", "_until", "why")

    def __init__(self) -> None:
        self.why: str | None = None  # the class of the last refusal; None: fine
        self._row = 0
        self._until = 0
        self._trying = False  # a call tries it again, and `_until` is for its sake

    def refused(self, failure: str, now_ms: int, delay_ms: int | None) -> None:
        """The vendor refused it: a class of `STRIKES`, and perhaps when to come back."""
        self._row = self._row + 1 if failure == self.why else 1
        self.why = failure
        self._trying = False
        past = self._row - STRIKES[failure]
        if past < 0:
            return
        if delay_ms is None or failure != "quota_exhausted":
            delay_ms = min(BASE_MS[failure] << min(past, 20), LONGEST_MS)
        self._until = now_ms + delay_ms

    def left_ms(self, now_ms: int) -> int:
        """For how long it is aside; 0: it may be shown."""
        return max(0, self._until - now_ms)

    def shown(self, now_ms: int) -> None:
        """A call shows it now. If that tries it again, the others wait for what comes of it."""
        if self._until and now_ms >= self._until:
            self._until = now_ms + TRIAL_MS
            self._trying = True

    def unsaid(self, now_ms: int) -> None:
        """A call that showed it failed, and not because of it."""
        if self._trying:
            self._until = now_ms
            self._trying = False
