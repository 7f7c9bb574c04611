"""What a process knows of the health of its deployments and credentials, and what follows for the next call.

One `Health` a process. Everything in it is keyed by what it measures, so it outlives a plan: a deployment by
its name and the place it stands for (another model or address under the same name begins anew), a refused key
by its provider and credential, a retry budget by its route or deployment. The rules are the pure machines of
`policies/`; here they are brought together, in this order:

1. Credentials: none left that may be shown; the deployment is skipped as `auth`, `permission` or
   `quota_exhausted`, where all of them only cool down, as `full`.
2. Ejection: its peers do clearly better. Counts only beside peers, the members of one `balance`.
3. Breaker: it fails too often by itself. Open, it is skipped, but for one trial when its pause is over.

Panic: where everybody who could stand in for a deployment is set aside too, health is no reason to prefer
another. Then ejections are ignored, and so are the breakers of those of whose calls some still go well.
Breakers of those at which nothing goes well, the vendors' own delays and credentials hold even then, and so
does the breaker of a deployment for which nobody stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.plan.fate import Fate, place
from engine.plan.types import Deployment
from engine.policies.breaker import CircuitBreaker
from engine.policies.credential import STRIKES
from engine.policies.outlier import Ejection, outlying, room
from engine.state.aside import Aside, place_of
from engine.state.credentials import Credentials, Refused
from engine.state.retries import Retries

#: Failures that count against a deployment's breaker. The others are the request's own fault, a credential's,
#: or a rate limit's.
BREAKING: Final = frozenset({"overloaded", "timeout", "connect", "server", "not_found", "cut"})


#: None: ask it. A number: ask it, as the trial of that number.
Verdict = Refused | int | None


class Peers(NamedTuple):
    """A target among others, itself included in both.

    members: of its `balance`, which get the same requests. others: who is asked where it is not.
    """

    members: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()


ALONE: Final = Peers()


@dataclass(slots=True)
class Ended:
    """How a call ended.

    failure: its class; None: it went well. delay_ms: when the vendor says to come back. credential: the name
    of the one that was shown. trial: what `admit` gave. members: of its `balance`.
    """

    failure: str | None
    delay_ms: int | None = None
    credential: str = ""
    trial: int | None = None
    members: Sequence[str] = ()


class _Seen:
    """One deployment."""

    __slots__ = ("breaker", "calm", "deployment", "ejection", "opened", "where", "well_at")

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.where = place(deployment)
        self.breaker = CircuitBreaker(deployment.breaker)
        self.ejection = Ejection()
        self.calm = True  # its breaker is closed, and it is not ejected
        self.opened = 0  # how often the breaker did
        self.well_at: int | None = None  # when a call last went well


class Health:
    """Decides whether a deployment is asked, and learns from how its calls end.

    Args:
        draw: gives uniform numbers in [0, 1), for the jitter of pauses.
        tell: told of each probe that this process made, by the deployment's name.
    """

    def __init__(self, draw: Callable[[], float], tell: Callable[[str, Ended], None] | None = None) -> None:
        self._draw = draw
        self._tell = tell
        self._current: Callable[[str], Deployment | None] | None = None
        self._seen: dict[str, _Seen] = {}
        self.credentials = Credentials()
        self.retries = Retries()
        #: Told what other hosts had better know too; None: there are none.
        self.tell_aside: Callable[[Aside], None] | None = None

    # --- before a call ----------------------------------------------------------------------------------

    def calm(self, name: str) -> bool:
        """Nothing is known against a deployment or any credential: it is asked without a second look."""
        seen = self._seen.get(name)
        return (seen is None or seen.calm) and self.credentials.clear(name)

    def admit(self, deployment: Deployment, credentials: Sequence[str], peers: Peers, now_ms: int) -> Verdict:
        """May it be asked now?

        Args:
            deployment: the plan's.
            credentials: names of those that this request may use; empty where it needs none.
            peers: of the target that asks.
            now_ms: now.
        """
        seen = self._of(deployment)
        refused = self.credentials.none_free(deployment, credentials, now_ms)
        if refused is not None:
            return refused
        name = deployment.name
        out = seen.ejection.left_ms(now_ms)
        if out and peers.members and not self._panic(name, peers, now_ms):
            return Refused("full", f"{name} fails more often than its peers and is set aside", out)
        wait = seen.breaker.wait_ms(now_ms)
        if wait is not None:
            if not seen.breaker.total and self._panic(name, peers, now_ms):
                return None
            return Refused("full", f"the breaker of {name} is open", wait)
        if seen.breaker.state != "closed":
            return seen.breaker.begin_trial(now_ms)
        seen.calm = not out
        return None

    # --- after a call -----------------------------------------------------------------------------------

    def answered(self, route: str, deployment: Deployment, credential: str, now_ms: int) -> None:
        """A call of this route went well, and was no trial: what happens most, and nothing else in short."""
        name = deployment.name
        self.retries.refill(route, name)
        seen = self._seen.get(name)
        if seen is not None and seen.deployment is deployment and seen.calm and self.credentials.clear(name):
            seen.well_at = now_ms
            seen.breaker.window.add(True, now_ms)
        else:
            self.ended(deployment, Ended(None, credential=credential), now_ms)

    def ended(self, deployment: Deployment, how: Ended, now_ms: int) -> None:
        """A call is over."""
        seen = self._of(deployment)
        failure = how.failure
        if failure is not None and failure not in STRIKES:
            self.credentials.unsaid(deployment, how.credential, now_ms)
        if failure is None:
            self._went_well(seen, how, now_ms)
        elif failure in STRIKES:
            self.credentials.were_refused(deployment, how.credential, failure, how.delay_ms, now_ms)
            self._trial_over(seen, how.trial, None, now_ms)
        elif failure == "rate_limited":
            self._pause(deployment, how, now_ms)
            self._trial_over(seen, how.trial, None, now_ms)
        elif failure in BREAKING:
            if how.delay_ms is not None:
                self._pause(deployment, how, now_ms)
            self._failed(seen, how, now_ms)
        else:
            self._trial_over(seen, how.trial, None, now_ms)

    def trial_over(self, name: str, trial: int, ok: bool | None, now_ms: int) -> None:
        """What a trial said: well, failed, or (None) nothing: then the next call is one."""
        seen = self._seen.get(name)
        if seen is not None:
            self._trial_over(seen, trial, ok, now_ms)

    def probed(self, deployment: Deployment, how: Ended, now_ms: int) -> None:
        """A probe of our own is over: it was made whatever the breaker said."""
        if self._tell is not None:
            self._tell(deployment.name, how)
        self.heard(deployment, how, now_ms)

    def heard(self, deployment: Deployment, how: Ended, now_ms: int) -> None:
        """A probe is over, whoever made it."""
        breaker = self._of(deployment).breaker
        if how.failure is None:
            breaker.heal()
        elif how.failure in BREAKING and breaker.state != "closed":
            return
        self.ended(deployment, how, now_ms)

    def hinted(self, deployment: Deployment, aside: Aside, now_ms: int) -> None:
        """Another host has learnt something. A vendor's pause holds here too; where its breaker opened, one
        call at a time is made here until one goes well.
        """
        if aside.place != place_of(deployment):
            return
        seen = self._of(deployment)
        if aside.kind == "open":
            if seen.breaker.doubt():
                seen.calm = False
        elif not aside.credential or aside.credential in {each.name for each in deployment.credentials}:
            self.credentials.limited(deployment, aside.credential, aside.ms, now_ms)

    def wants_probe(self, deployment: Deployment, every_ms: int, now_ms: int) -> bool:
        """Whether no call went well there for so long, and nothing forbids a probe: a vendor that wants a
        pause, credentials that are all aside.
        """
        seen = self._of(deployment)
        if seen.well_at is not None and now_ms - seen.well_at < every_ms:
            return False
        names = [credential.name for credential in deployment.credentials]
        return self.credentials.none_free(deployment, names, now_ms) is None

    # --- what is told -----------------------------------------------------------------------------------

    def told(self, name: str, now_ms: int) -> dict[str, Any]:
        """A deployment's health for people. Times in ms; a share of 0 of no calls."""
        seen = self._seen.get(name)
        if seen is None:
            return {"breaker": "closed", "opened": 0, "calls": 0, "failed": 0, "retry_after_ms": None,
                    "ejected_ms": 0, "cooling_ms": {}, "refused": {}, "retry_budget": None}  # fmt: skip
        seen.breaker.window.turn(now_ms)
        return {
            "breaker": seen.breaker.state,
            "opened": seen.opened,
            "calls": seen.breaker.window.calls,
            "failed": seen.breaker.window.failed,
            "retry_after_ms": seen.breaker.wait_ms(now_ms),
            "ejected_ms": seen.ejection.left_ms(now_ms),
            **self.credentials.told(seen.deployment, now_ms),
            "retry_budget": self.retries.of_deployment(name, now_ms),
        }

    def names(self) -> list[str]:
        """The deployments that were ever asked."""
        return list(self._seen)

    def healthy(self, name: str, now_ms: int) -> bool:
        """Whether a deployment could be asked now."""
        return name not in self._seen or not self._aside(name, now_ms)

    def trials(self) -> int:
        """Trials of half-open breakers that run: 0 when nothing is in flight."""
        return sum(seen.breaker.trying for seen in self._seen.values())

    def carry(self, fate: Fate) -> None:
        """A plan was published in the place of another: what has another name now moves."""
        for new, old in fate.deployments.moves.items():
            if old in self._seen:
                self._seen[new] = self._seen.pop(old)
        self.credentials.carry(fate)
        self.retries.carry(fate)

    def keep(
        self,
        deployments: Container[str],
        routes: Container[str],
        current: Callable[[str], Deployment | None] | None = None,
    ) -> None:
        """Forget what is not among these names: a plan without them has been published. current: its
        deployment of a name; calls of an earlier plan say nothing of another place that has the name now.
        """
        self._current = current
        self._seen = {name: seen for name, seen in self._seen.items() if name in deployments}
        self.retries.keep(deployments, routes)
        self.credentials.keep(deployments, {seen.deployment.provider for seen in self._seen.values()})

    # --- one deployment ---------------------------------------------------------------------------------

    def _of(self, deployment: Deployment) -> _Seen:
        seen = self._seen.get(deployment.name)
        if seen is not None and seen.deployment is deployment:
            return seen
        if self._current is not None and (current := self._current(deployment.name)) != deployment:
            if current is None or place(current) != place(deployment):
                return _Seen(deployment)  # of an earlier plan: nobody asks there any more
            deployment = current
        if seen is None:
            seen = self._seen[deployment.name] = _Seen(deployment)
        elif seen.where != place(deployment):
            seen = self._seen[deployment.name] = _Seen(deployment)
            self.credentials.forget(deployment.name)
            self.retries.forget(deployment.name)
        seen.deployment = deployment
        seen.breaker.set(deployment.breaker)
        return seen

    def _went_well(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        seen.well_at = now_ms
        if how.trial is not None:
            self._trial_over(seen, how.trial, True, now_ms)
        else:
            seen.breaker.ended(True, now_ms, 0.0)
        self.credentials.went_well(seen.deployment, how.credential, now_ms)

    def _failed(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        if how.trial is not None:
            self._trial_over(seen, how.trial, False, now_ms)
            return
        if seen.breaker.ended(False, now_ms, self._draw()):
            seen.opened += 1
            seen.calm = False
            if self.tell_aside is not None:
                self.tell_aside(Aside(seen.deployment.name, place_of(seen.deployment), "open"))
        elif how.members and seen.breaker.state == "closed":
            self._compare(seen, how.members, now_ms)

    def _pause(self, deployment: Deployment, how: Ended, now_ms: int) -> None:
        """Its vendor wants a pause; how long, if it said so, is what others are told."""
        self.credentials.limited(deployment, how.credential, how.delay_ms, now_ms)
        if how.delay_ms is not None and self.tell_aside is not None:
            where = place_of(deployment)
            self.tell_aside(Aside(deployment.name, where, "pause", how.credential, how.delay_ms))

    def _compare(self, seen: _Seen, members: Sequence[str], now_ms: int) -> None:
        """Set it aside where its peers do clearly better."""
        peers = [name for name in members if name != seen.deployment.name]
        if seen.ejection.left_ms(now_ms):
            return
        windows = [other.breaker.window for name in peers if (other := self._seen.get(name)) is not None]
        for window in windows:
            window.turn(now_ms)
        own = seen.breaker.window
        if not outlying(own.calls, own.failed, ((w.calls, w.failed) for w in windows)):
            return
        if room(len(peers) + 1, sum(self._aside(name, now_ms) for name in peers)):
            seen.ejection.eject(now_ms)
            own.forget()
            seen.calm = False

    def _trial_over(self, seen: _Seen, trial: int | None, ok: bool | None, now_ms: int) -> None:
        if trial is not None:
            seen.breaker.trial_ended(trial, ok, now_ms, self._draw())

    def _aside(self, name: str, now_ms: int) -> bool:
        """Whether health keeps it from being asked."""
        seen = self._seen.get(name)
        if seen is None or self.calm(name):
            return False
        if seen.breaker.wait_ms(now_ms) is not None or seen.ejection.left_ms(now_ms):
            return True
        held = [credential.name for credential in seen.deployment.credentials]
        return self.credentials.none_free(seen.deployment, held, now_ms) is not None

    def _panic(self, name: str, peers: Peers, now_ms: int) -> bool:
        """Whether everybody who could stand in for it is set aside too."""
        others = [other for other in peers.others if other != name]
        return bool(others) and all(self._aside(other, now_ms) for other in others)
