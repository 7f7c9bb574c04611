"""What a process knows against credentials: which must not be shown where now, and which had better not.

A key that its vendor refused (`auth`, `quota_exhausted`) is refused at all deployments of that vendor; a
`permission` and a rate limit are of one deployment. Whoever shows nothing has the credential `""`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.plan.fate import Fate
from engine.plan.types import Credential, Deployment
from engine.policies.cooldown import Cooldown
from engine.policies.credential import CredentialHealth


@dataclass(slots=True)
class Refused:
    """Why a deployment is not asked now: the failure class, the reason in words, when to come back.

    cooling: its vendor wants a pause; nothing else is wrong.
    """

    failure: str
    why: str
    retry_after_ms: int | None
    cooling: bool = False


@dataclass(slots=True)
class _Here:
    """Of one deployment, by credential."""

    cooling: dict[str, Cooldown] = field(default_factory=dict)
    forbidden: dict[str, CredentialHealth] = field(default_factory=dict)


_NOTHING = _Here()


class Credentials:
    """Those of a process."""

    def __init__(self) -> None:
        #: (provider, credential) -> what is known against it. Empty while all are fine.
        self.refused: dict[tuple[str, str], CredentialHealth] = {}
        self._here: dict[str, _Here] = {}

    def clear(self, name: str) -> bool:
        """Nothing is known against any credential at a deployment of this name."""
        return name not in self._here and not self.refused

    # --- before a call ----------------------------------------------------------------------------------

    def none_free(self, deployment: Deployment, names: Sequence[str], now_ms: int) -> Refused | None:
        """Why none of these can be shown there now; None where one can."""
        if self.clear(deployment.name):
            return None
        left, failure, name = min((*self._why(deployment, name, now_ms), name) for name in names or ("",))
        if not left:
            return None
        if failure == "full":
            return Refused("full", f"{deployment.name} said to slow down", left, cooling=True)
        shown = f"the credential {name}" if name else "what is shown there"
        return Refused(failure, f"{deployment.name} is not asked while {shown} is refused ({failure})", left)

    def choose(
        self, deployment: Deployment, usable: Sequence[Credential], turn: int, now_ms: int
    ) -> Credential:
        """Which of these to show: in turns, those that nothing is known against first."""
        free = [c for c in usable if not self._why(deployment, c.name, now_ms)[0]] or usable
        best = [c for c in free if not self._doubted(deployment, c.name)] or free
        chosen = best[turn % len(best)]
        for known in self._known(deployment, chosen.name):
            known.shown(now_ms)
        return chosen

    def another(self, deployment: Deployment, names: Iterable[str], now_ms: int) -> bool:
        """Whether one of these could be shown there now, and nothing is known against it."""
        return any(
            not self._why(deployment, name, now_ms)[0] and not self._doubted(deployment, name)
            for name in names
        )

    # --- after a call -----------------------------------------------------------------------------------

    def were_refused(
        self, deployment: Deployment, name: str, failure: str, delay_ms: int | None, now_ms: int
    ) -> None:
        """The vendor refused one: a class of `policies.credential.STRIKES`, perhaps with a reset."""
        if failure == "permission":
            known = self._of(deployment).forbidden.setdefault(name, CredentialHealth())
        else:
            known = self.refused.setdefault((deployment.provider, name), CredentialHealth())
        known.refused(failure, now_ms, delay_ms)

    def limited(self, deployment: Deployment, name: str, delay_ms: int | None, now_ms: int) -> None:
        """The vendor wants a pause, for so long where it said."""
        self._of(deployment).cooling.setdefault(name, Cooldown()).limited(now_ms, delay_ms)

    def unsaid(self, deployment: Deployment, name: str, now_ms: int) -> None:
        """A call with it failed for a reason of another kind: who tries a refused one makes room."""
        if not self.clear(deployment.name):
            for known in self._known(deployment, name):
                known.unsaid(now_ms)

    def went_well(self, deployment: Deployment, name: str, now_ms: int) -> None:
        """A call with it was answered."""
        self.refused.pop((deployment.provider, name), None)
        here = self._here.get(deployment.name)
        if here is None:
            return
        here.forbidden.pop(name, None)
        cooling = here.cooling.get(name)
        if cooling is not None:
            cooling.went_well()
            if not cooling.left_ms(now_ms):
                del here.cooling[name]
        if not here.cooling and not here.forbidden:
            del self._here[deployment.name]

    # --- what is told, and plans ------------------------------------------------------------------------

    def told(self, deployment: Deployment, now_ms: int) -> dict[str, Any]:
        """For people: pauses in ms by credential, and refusals."""
        here = self._here.get(deployment.name, _NOTHING)
        known = dict(here.forbidden)
        known |= {name: each for (by, name), each in self.refused.items() if by == deployment.provider}
        return {
            "cooling_ms": {
                name: left for name, each in here.cooling.items() if (left := each.left_ms(now_ms))
            },
            "refused": {n: {"failure": k.why, "aside_ms": k.left_ms(now_ms)} for n, k in known.items()},
        }

    def carry(self, fate: Fate) -> None:
        """A plan was published in the place of another: what has another name now moves."""
        for new, old in fate.deployments.moves.items():
            if old in self._here:
                self._here[new] = self._here.pop(old)

    def keep(self, deployments: Container[str], providers: Container[str]) -> None:
        """Forget what is not among these names."""
        self._here = {name: here for name, here in self._here.items() if name in deployments}
        self.refused = {key: known for key, known in self.refused.items() if key[0] in providers}

    def forget(self, deployment: str) -> None:
        """Another place has this name now."""
        self._here.pop(deployment, None)

    # --- one credential ---------------------------------------------------------------------------------

    def _of(self, deployment: Deployment) -> _Here:
        return self._here.setdefault(deployment.name, _Here())

    def _why(self, deployment: Deployment, name: str, now_ms: int) -> tuple[int, str]:
        """For how long it is not to be shown there, and the class that this is."""
        cooling = self._here.get(deployment.name, _NOTHING).cooling.get(name)
        worst = (0, "full") if cooling is None else (cooling.left_ms(now_ms), "full")
        for known in self._known(deployment, name):
            worst = max(worst, (known.left_ms(now_ms), known.why or "auth"))
        return worst

    def _doubted(self, deployment: Deployment, name: str) -> bool:
        cooling = self._here.get(deployment.name, _NOTHING).cooling
        return name in cooling or any(known.why is not None for known in self._known(deployment, name))

    def _known(self, deployment: Deployment, name: str) -> list[CredentialHealth]:
        here = self._here.get(deployment.name, _NOTHING)
        both = (here.forbidden.get(name), self.refused.get((deployment.provider, name)))
        return [known for known in both if known is not None]
