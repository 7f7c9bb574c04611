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

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.plan.fate import Fate, place
from engine.plan.types import Credential, Deployment
from engine.policies.breaker import CircuitBreaker
from engine.policies.cooldown import Cooldown
from engine.policies.credential import STRIKES, CredentialHealth
from engine.policies.outlier import Ejection, outlying, room
from engine.policies.retry_budget import RetryBudget

#: Failures that count against a deployment's breaker. The others are the request's own fault, a credential's,
#: or a rate limit's.
BREAKING: Final = frozenset({"overloaded", "timeout", "connect", "server", "not_found", "cut"})


@dataclass(slots=True)
class Refused:
    """Why a deployment is not asked now: the failure class, the reason in words, when to come back.

    cooling: its vendor wants a pause; nothing else is wrong.
    """

    failure: str
    why: str
    retry_after_ms: int | None
    cooling: bool = False


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

    __slots__ = ("breaker", "budget", "calm", "cooling", "deployment", "ejection", "forbidden", "identity",
                 "opened", "well_at")  # fmt: skip

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.identity = place(deployment)
        self.breaker = CircuitBreaker(deployment.breaker)
        self.ejection = Ejection()
        self.cooling: dict[str, Cooldown] = {}  # credential -> its rate limit here
        self.forbidden: dict[str, CredentialHealth] = {}  # credential -> `permission` here
        self.budget = RetryBudget()
        self.calm = True  # nothing of it needs a second look
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
        self._seen: dict[str, _Seen] = {}
        self._refused: dict[tuple[str, str], CredentialHealth] = {}
        self._routes: dict[str, RetryBudget] = {}
        self._drawn = False  # something was once drawn of a retry budget

    # --- before a call ----------------------------------------------------------------------------------

    def calm(self, name: str) -> bool:
        """Nothing is known against a deployment or any credential: it is asked without a second look."""
        seen = self._seen.get(name)
        return (seen is None or seen.calm) and not self._refused

    def admit(self, deployment: Deployment, credentials: Sequence[str], peers: Peers, now_ms: int) -> Verdict:
        """May it be asked now?

        Args:
            deployment: the plan's.
            credentials: names of those that this request may use; empty where it needs none.
            peers: of the target that asks.
            now_ms: now.
        """
        seen = self._of(deployment)
        refused = self._no_credential(seen, credentials or ("",), now_ms)
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
        seen.calm = not (out or seen.cooling or seen.forbidden)
        return None

    def choose(
        self, deployment: Deployment, usable: Sequence[Credential], turn: int, now_ms: int
    ) -> Credential:
        """Which of these to show: in turns, those that nothing is known against first."""
        seen = self._of(deployment)
        rows = [(self._left(seen, c.name, now_ms), self._doubted(seen, c.name), c) for c in usable]
        free = [row for row in rows if not row[0]] or rows
        best = [row for row in free if not row[1]] or free
        chosen = best[turn % len(best)][2]
        for known in self._known(seen, chosen.name):
            known.shown(now_ms)
        return chosen

    def another(self, deployment: Deployment, names: Iterable[str], now_ms: int) -> bool:
        """Whether one of these credentials could be shown there now, and nothing is known against it."""
        seen = self._of(deployment)
        return any(not self._left(seen, n, now_ms) and not self._doubted(seen, n) for n in names)

    # --- the retry budgets ------------------------------------------------------------------------------

    def draw_retry(self, route: str, deployment: Deployment, now_ms: int, *, in_place: bool) -> str | None:
        """Take one more attempt from the budgets of both; else the name of the one that is used up."""
        self._drawn = True
        mine, ours = self._of(deployment).budget, self._routes.get(route)
        if ours is None:
            ours = self._routes[route] = RetryBudget()
        if not ours.has(now_ms, in_place):
            return f"route {route}"
        if not mine.has(now_ms, in_place):
            return f"deployment {deployment.name}"
        ours.draw()
        mine.draw()
        return None

    def refill(self, route: str, name: str) -> None:
        """A call was answered."""
        if self._drawn:
            for budget in self._budgets(route, name):
                budget.refill()

    def give_back(self, route: str, name: str) -> None:
        """What was drawn for an attempt is not used."""
        for budget in self._budgets(route, name):
            budget.give_back()

    def _budgets(self, route: str, name: str) -> Iterator[RetryBudget]:
        if (ours := self._routes.get(route)) is not None:
            yield ours
        if (seen := self._seen.get(name)) is not None:
            yield seen.budget

    # --- after a call -----------------------------------------------------------------------------------

    def answered(self, route: str, deployment: Deployment, credential: str, now_ms: int) -> None:
        """A call of this route went well, and was no trial: what happens most, and nothing else in short."""
        if self._drawn:
            self.refill(route, deployment.name)
        seen = self._seen.get(deployment.name)
        if seen is not None and seen.deployment is deployment and seen.calm and not self._refused:
            seen.well_at = now_ms
            seen.breaker.window.add(True, now_ms)
        else:
            self.ended(deployment, Ended(None, credential=credential), now_ms)

    def ended(self, deployment: Deployment, how: Ended, now_ms: int) -> None:
        """A call is over."""
        seen = self._of(deployment)
        failure = how.failure
        if failure is None:
            self._went_well(seen, how, now_ms)
        elif failure in STRIKES:
            self._credential_refused(seen, how, now_ms)
            self._trial_over(seen, how.trial, None, now_ms)
        elif failure == "rate_limited":
            self._cool(seen, how, now_ms)
            self._trial_over(seen, how.trial, None, now_ms)
        elif failure in BREAKING:
            if how.delay_ms is not None:
                self._cool(seen, how, now_ms)
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

    def wants_probe(self, deployment: Deployment, every_ms: int, now_ms: int) -> bool:
        """Whether no call went well there for so long, and nothing forbids a probe: a vendor that wants a
        pause, credentials that are all aside.
        """
        seen = self._of(deployment)
        if seen.well_at is not None and now_ms - seen.well_at < every_ms:
            return False
        names = [c.name for c in deployment.credentials] or [""]
        return self._no_credential(seen, names, now_ms) is None

    # --- what is told -----------------------------------------------------------------------------------

    def told(self, name: str, now_ms: int) -> dict[str, Any]:
        """A deployment's health for people. Times in ms; a share of 0 of no calls."""
        seen = self._seen.get(name)
        if seen is None:
            return {"breaker": "closed", "opened": 0, "calls": 0, "failed": 0, "retry_after_ms": None,
                    "ejected_ms": 0, "cooling_ms": {}, "refused": {}, "retry_budget": None}  # fmt: skip
        seen.breaker.window.turn(now_ms)
        known = {name: each for name, each in seen.forbidden.items() if each.why is not None}
        provider = seen.deployment.provider
        known |= {name: each for (vendor, name), each in self._refused.items() if vendor == provider}
        return {
            "breaker": seen.breaker.state,
            "opened": seen.opened,
            "calls": seen.breaker.window.calls,
            "failed": seen.breaker.window.failed,
            "retry_after_ms": seen.breaker.wait_ms(now_ms),
            "ejected_ms": seen.ejection.left_ms(now_ms),
            "cooling_ms": {k: left for k, c in seen.cooling.items() if (left := c.left_ms(now_ms))},
            "refused": {k: {"failure": c.why, "aside_ms": c.left_ms(now_ms)} for k, c in known.items()},
            "retry_budget": round(seen.budget.held(now_ms), 1),
        }

    def healthy(self, name: str, now_ms: int) -> bool:
        """Whether nothing but its credentials would keep a deployment from being asked."""
        return name not in self._seen or not self._aside(name, now_ms)

    def trials(self) -> int:
        """Trials of half-open breakers that run: 0 when nothing is in flight."""
        return sum(seen.breaker.trying for seen in self._seen.values())

    def route_budgets(self, now_ms: int) -> Mapping[str, float]:
        """What is left of the retry budgets of routes that ever used theirs."""
        return {route: budget.held(now_ms) for route, budget in self._routes.items()}

    def carry(self, fate: Fate) -> None:
        """A plan was published in the place of another: what has another name now moves."""
        for new, old in fate.deployments.moves.items():
            if old in self._seen:
                self._seen[new] = self._seen.pop(old)

    def keep(self, deployments: Container[str], routes: Container[str]) -> None:
        """Forget what is not among these names: a plan without them has been published."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in deployments}
        self._routes = {name: budget for name, budget in self._routes.items() if name in routes}
        vendors = {seen.deployment.provider for seen in self._seen.values()}
        self._refused = {key: known for key, known in self._refused.items() if key[0] in vendors}

    # --- one deployment ---------------------------------------------------------------------------------

    def _of(self, deployment: Deployment) -> _Seen:
        seen = self._seen.get(deployment.name)
        if seen is not None and seen.deployment is deployment:
            return seen
        if seen is None or seen.identity != place(deployment):
            seen = self._seen[deployment.name] = _Seen(deployment)
        seen.deployment = deployment
        seen.breaker.set(deployment.breaker)
        return seen

    def _went_well(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        seen.well_at = now_ms
        if how.trial is not None:
            self._trial_over(seen, how.trial, True, now_ms)
        else:
            seen.breaker.ended(True, now_ms, 0.0)
        if (cooling := seen.cooling.get(how.credential)) is not None:
            cooling.went_well()
            if not cooling.left_ms(now_ms):
                del seen.cooling[how.credential]
        if seen.forbidden:
            seen.forbidden.pop(how.credential, None)
        if self._refused:
            self._refused.pop((seen.deployment.provider, how.credential), None)

    def _failed(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        if how.trial is not None:
            self._trial_over(seen, how.trial, False, now_ms)
            return
        if seen.breaker.ended(False, now_ms, self._draw()):
            seen.opened += 1
            seen.calm = False
        elif how.members and seen.breaker.state == "closed":
            self._compare(seen, how.members, now_ms)

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

    def _cool(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        cooling = seen.cooling.get(how.credential)
        if cooling is None:
            cooling = seen.cooling[how.credential] = Cooldown()
        cooling.limited(now_ms, how.delay_ms)
        seen.calm = False

    def _trial_over(self, seen: _Seen, trial: int | None, ok: bool | None, now_ms: int) -> None:
        if trial is not None:
            seen.breaker.trial_ended(trial, ok, now_ms, self._draw())

    def _aside(self, name: str, now_ms: int) -> bool:
        """Whether health keeps it from being asked. A rate limit of one of several credentials does not."""
        seen = self._seen.get(name)
        if seen is None or seen.calm:
            return False
        if seen.breaker.wait_ms(now_ms) is not None or seen.ejection.left_ms(now_ms):
            return True
        held = [c.name for c in seen.deployment.credentials] or [""]
        return bool(seen.cooling) and all(n in seen.cooling and seen.cooling[n].left_ms(now_ms) for n in held)

    def _panic(self, name: str, peers: Peers, now_ms: int) -> bool:
        """Whether everybody who could stand in for it is set aside too."""
        others = [other for other in peers.others if other != name]
        return bool(others) and all(self._aside(other, now_ms) for other in others)

    # --- credentials ------------------------------------------------------------------------------------

    def _credential_refused(self, seen: _Seen, how: Ended, now_ms: int) -> None:
        assert how.failure is not None
        if how.failure == "permission":
            known = seen.forbidden.setdefault(how.credential, CredentialHealth())
        else:
            known = self._refused.setdefault((seen.deployment.provider, how.credential), CredentialHealth())
        known.refused(how.failure, now_ms, how.delay_ms)
        seen.calm = False

    def _no_credential(self, seen: _Seen, names: Sequence[str], now_ms: int) -> Refused | None:
        """Why none of these can be shown now; None where one can."""
        if seen.calm and not self._refused:
            return None
        soonest: tuple[int, str, str] | None = None
        for name in names:
            left, failure = self._why(seen, name, now_ms)
            if not left:
                return None
            if soonest is None or left < soonest[0]:
                soonest = (left, failure, name)
        assert soonest is not None, "somebody is asked about at least one"
        left, failure, name = soonest
        where = seen.deployment.name
        if failure == "full":
            return Refused("full", f"{where} said to slow down", left, cooling=True)
        shown = f"the credential {name}" if name else "what is shown there"
        return Refused(failure, f"{where} is not asked while {shown} is refused ({failure})", left)

    def _why(self, seen: _Seen, name: str, now_ms: int) -> tuple[int, str]:
        """For how long a credential is not to be shown there, and the class that this is."""
        worst = (0, "full")
        cooling = seen.cooling.get(name)
        if cooling is not None:
            worst = (cooling.left_ms(now_ms), "full")
        for known in self._known(seen, name):
            worst = max(worst, (known.left_ms(now_ms), known.why or "auth"))
        return worst

    def _left(self, seen: _Seen, name: str, now_ms: int) -> int:
        return self._why(seen, name, now_ms)[0]

    def _doubted(self, seen: _Seen, name: str) -> bool:
        return name in seen.cooling or any(known.why is not None for known in self._known(seen, name))

    def _known(self, seen: _Seen, name: str) -> list[CredentialHealth]:
        both = (seen.forbidden.get(name), self._refused.get((seen.deployment.provider, name)))
        return [known for known in both if known is not None]
