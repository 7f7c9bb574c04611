"""The executor's side of health: asks before an attempt whether it may be made, tells how it ended.

An attempt that repeats something is paid for from the retry budgets of its route and its deployment: any that
follows a failure of the same request, and every hedge. Attempts that a route plans from the start (members of
an ensemble, a judge, a classifier, a copy to a mirror) repeat nothing and are not.

A half-open breaker lets one call through. Whatever becomes of that call, its place is given back here: with
its verdict when it ends, without one when it is cancelled or never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.kinds.effects import CONSULTS, Admission, Reserve
from engine.plan.types import Credential
from engine.policies.credential import STRIKES
from engine.runtime.place import Place
from engine.runtime.record import AttemptRecord
from engine.runtime.run import Run
from engine.state.credentials import Refused
from engine.state.health import ALONE, Ended, Health

#: A call that the request's own deadline ended says something of the deployment only if it had this long.
PATIENCE_MS: Final = 5_000
#: The vendor answered, though not as the request wished: nothing is overloaded by asking it.
_ANSWERED: Final = frozenset({"bad_request", "context_length", "content_policy"})
#: Failures after which another credential may do.
_OF_CREDENTIALS: Final = frozenset({*STRIKES, "rate_limited"})


@dataclass(slots=True)
class Pass:
    """What an attempt was let in with: something to give back where it is not made."""

    route: str
    deployment: str
    drawn: bool
    trial: int | None


class Gate:
    """One executor's."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._trials: dict[int, tuple[str, int]] = {}  # lease -> the deployment whose trial it is, its number

    def enter(self, run: Run, effect: Reserve, place: Place, now: float) -> Admission | Pass | None:
        """May the attempt be made? None: it may, as any healthy one; else with a pass, or why not."""
        if run.role == "probe":
            return None
        again = run.numbers.failed_at if run.role not in CONSULTS else None
        if again is None and run.role != "hedge" and self._health.calm(place.deployment.name):
            return None
        deployment, moment, drawn = place.deployment, int(now), False
        if again is not None or run.role == "hedge":
            in_place = again == deployment.name or run.role == "hedge"
            spent = self._health.retries.draw(
                run.bound.route.name, deployment.name, moment, in_place=in_place
            )
            if spent is not None:
                return Admission(None, "full", None, f"the retry budget of {spent} is used up")
            drawn = True
        given = Pass(run.bound.route.name, deployment.name, drawn, None)
        usable = [c.name for c in run.usable(place)]
        verdict = self._health.admit(deployment, usable, run.bound.peers.get(effect.target.id, ALONE), moment)
        if isinstance(verdict, Refused):
            self.give_back(given, now)
            return Admission(None, verdict.failure, verdict.retry_after_ms, verdict.why, verdict.cooling)
        given.trial = verdict
        return given

    def granted(self, given: Pass, lease: int) -> None:
        """The attempt has a lease."""
        if given.trial is not None:
            self._trials[lease] = (given.deployment, given.trial)

    def give_back(self, given: Pass, now: float) -> None:
        """The attempt is not made after all."""
        if given.drawn:
            self._health.retries.give_back(given.route, given.deployment)
        if given.trial is not None:
            self._health.trial_over(given.deployment, given.trial, None, int(now))

    def credential(self, run: Run, place: Place, turn: int, now: float) -> Credential | None:
        """The credential to show: those whose `only` holds take turns, refused ones step back."""
        usable = run.usable(place)
        if not usable:
            return None
        if self._health.calm(place.deployment.name):
            return usable[turn % len(usable)]
        return self._health.credentials.choose(place.deployment, usable, turn, int(now))

    def another(self, run: Run, place: Place, failure: str | None, now: float) -> bool:
        """After this failure: could another of the deployment's credentials be shown at once?"""
        if failure not in _OF_CREDENTIALS or len(place.credentials) < 2:
            return False
        return self._health.credentials.another(
            place.deployment, [c.name for c in run.usable(place)], int(now)
        )

    # --- how it went ------------------------------------------------------------------------------------

    def begun(self, lease: int, now: float) -> None:
        """The first of an answer has come: enough for a trial, whose verdict others wait for."""
        self._over(lease, True, now)

    def dropped(self, lease: int, now: float) -> None:
        """The call was cancelled, or never made: it says nothing."""
        self._over(lease, None, now)

    def ended(
        self, run: Run, lease: int, entry: AttemptRecord, place: Place, failure: str | None,
        delay_ms: int | None, now: float,
    ) -> None:  # fmt: skip
        """The call is over. `delay_ms`: when the vendor says to come back."""
        if failure is None and not self._trials and run.role != "probe":
            self._health.answered(run.bound.route.name, place.deployment, entry.credential or "", int(now))
            return
        trial = self._trials.pop(lease, (None, None))[1] if self._trials else None
        deployment, route = place.deployment, run.bound.route.name
        if failure is None or failure in _ANSWERED:
            self._health.retries.refill(route, deployment.name)
        if failure is not None and failure != "cancelled":
            run.numbers.failed_at = deployment.name
        if failure == "timeout" and self._own_deadline(run, entry, now):
            failure = "cancelled"
        members = run.bound.peers.get(entry.node, ALONE).members
        how = Ended(failure, delay_ms, entry.credential or "", trial, members)
        if run.role == "probe":
            how.failure = None if failure in _ANSWERED else failure
            self._health.probed(deployment, how, int(now))
            return
        self._health.ended(deployment, how, int(now))

    def _over(self, lease: int, ok: bool | None, now: float) -> None:
        if self._trials and (trial := self._trials.pop(lease, None)) is not None:
            self._health.trial_over(*trial, ok, int(now))

    def _own_deadline(self, run: Run, entry: AttemptRecord, now: float) -> bool:
        """It was the request that had too little time."""
        ran = now - run.started - entry.started_ms
        return run.deadline is not None and now >= run.deadline and ran < PATIENCE_MS
