"""The circuit breaker of one deployment: closed, open, or half-open with a single trial.

It opens after a failure, once `calls` of the window have ended, in two cases: at least `open_at` of them
failed and the latest quarter of `calls` did without exception (so chance does not open it while calls go
well again); or the latest `calls` all failed, whatever was before (so an outage opens it at once, however
much went well until then).

| state | what happens | becomes |
|---|---|---|
| closed | a call goes well, or fails below the measure | closed; counted |
| closed | a call fails, and the measure is full | open for the first pause |
| open | somebody asks before the pause is over | open; not let in |
| open | somebody asks after it | half-open; let in as the trial |
| open, half-open | a call that is no trial ends | as it was; `total` says whether the latest all failed |
| half-open | somebody asks while the trial runs | half-open; not let in |
| half-open | the same, and no trial runs, or one is silent for 30 s | half-open; let in as the trial |
| half-open | a trial goes well, a late one too | closed; all counts forgotten |
| half-open | the trial fails | open; the pause doubles |
| half-open | the trial ends without a verdict (cancelled, say) | half-open; no trial runs |
| open, half-open | a probe of our own goes well | closed; all counts forgotten |
| closed | another host's breaker of it opened | half-open; no trial runs |

A pause is `pause_ms`, then twice that, ... up to 30 s (or `pause_ms`, where that is longer), each shortened
by a draw of up to a fifth, so that many processes do not try at the same moment.
"""

from __future__ import annotations

from typing import Final, Literal

from engine.plan.types import Breaker
from engine.policies.window import CallWindow

State = Literal["closed", "open", "half_open"]

#: No pause is longer, but where the first one is.
LONGEST_PAUSE_MS: Final = 30_000
#: A pause is shortened by up to this share of itself.
JITTER: Final = 0.2
#: An open breaker whose trial runs says to come back after this long.
TRIAL_RETRY_MS: Final = 1_000
#: A trial that has said nothing for so long does not keep others away any more.
TRIAL_PATIENCE_MS: Final = 30_000


class CircuitBreaker:
    """One deployment's. `settings` may change between calls: state is what was seen, not what was set."""

    __slots__ = ("_began", "_pauses", "_trial", "_trials", "_until", "settings", "state", "total", "window")

    def __init__(self, settings: Breaker) -> None:
        self.settings = settings
        self.state: State = "closed"
        #: It is open, and nothing goes well there: an outage, no partial fault.
        self.total = False
        self.window = CallWindow(settings.window_ms)
        self._until = 0
        self._pauses = 0  # in a row
        self._trials = 0  # ever begun
        self._trial: int | None = None  # the one that runs
        self._began = 0  # when it did

    def set(self, settings: Breaker) -> None:
        """Other settings, from now on. Another window begins to count anew."""
        if settings.window_ms != self.settings.window_ms:
            self.window = CallWindow(settings.window_ms)
        self.settings = settings

    @property
    def trying(self) -> bool:
        """A trial runs."""
        return self._trial is not None

    def wait_ms(self, now_ms: int) -> int | None:
        """None where a call would be let in now, as the trial or freely; else in how many ms to ask again."""
        if self.state == "closed":
            return None
        if self.state == "open":
            return self._until - now_ms if now_ms < self._until else None
        if self._trial is None or now_ms - self._began >= TRIAL_PATIENCE_MS:
            return None
        return TRIAL_RETRY_MS

    def begin_trial(self, now_ms: int) -> int:
        """Let one call in as the trial, where `wait_ms` says None and it is not closed. Its number."""
        self.state = "half_open"
        self._trials += 1
        self._trial = self._trials
        self._began = now_ms
        return self._trial

    def trial_ended(self, number: int, ok: bool | None, now_ms: int, draw: float) -> None:
        """A trial went well, failed, or (None) said nothing. Of one that is no longer awaited only the good
        counts. `draw` is uniform in [0, 1).
        """
        if self.state != "half_open":
            return
        if ok:
            self._close()
        elif number == self._trial:
            self._trial = None
            if ok is not None:
                self._open(now_ms, draw)

    def ended(self, ok: bool, now_ms: int, draw: float) -> bool:
        """A call that is no trial has ended. True where that opened it. `draw` is uniform in [0, 1)."""
        self.window.add(ok, now_ms)
        if self.state != "closed":
            self.total = not ok and (self.total or self.window.run >= self.settings.calls)
            return False
        if ok or not self._full():
            return False
        self._pauses = 0
        self.total = self.window.run >= self.settings.calls
        self._open(now_ms, draw)
        return True

    def heal(self) -> None:
        """A probe of our own, which asks without being let in, went well."""
        if self.state != "closed":
            self._close()

    def doubt(self) -> bool:
        """Another host's breaker of this place opened: a trial is to say what holds here."""
        if self.state != "closed":
            return False
        self.state = "half_open"
        self._trial = None
        return True

    def _full(self) -> bool:
        wanted, window = self.settings.calls, self.window
        if window.calls < wanted:
            return False
        if window.run >= wanted:
            return True
        return window.share >= self.settings.open_at and window.run >= max(1, wanted // 4)

    def _open(self, now_ms: int, draw: float) -> None:
        first = self.settings.pause_ms
        pause = min(first << min(self._pauses, 20), max(first, LONGEST_PAUSE_MS))
        self.state = "open"
        self._until = now_ms + round(pause * (1.0 - JITTER * draw))
        self._pauses += 1

    def _close(self) -> None:
        self.state = "closed"
        self.total = False
        self._pauses = 0
        self._trial = None
        self.window.forget()
