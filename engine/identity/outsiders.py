"""Everybody who is known by what others say, for one process: it follows the plans that run there."""

from __future__ import annotations

from pathlib import Path

from engine.identity.certificates import Certificates
from engine.identity.tokens import Tokens
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.people import People


class Outsiders:
    """root: the workspace. `sources`: those that have somebody under the plan that runs, in their order."""

    def __init__(self, root: Path, log: Log, metrics: Metrics) -> None:
        self.sources: tuple[Tokens | Certificates, ...] = ()
        self._tokens = Tokens(root, log, metrics)

    def prepare(self, people: People) -> None:
        """A plan may run soon. Raises LibraryMissing."""
        self._tokens.prepare(people)

    def live(self, people: People) -> None:
        """This plan runs from now on."""
        self._tokens.live(people)
        self.sources = tuple(source for source in (self._tokens, Certificates(people.certificates)) if source)

    def told(self) -> dict[str, dict[str, object]]:
        """Of each identity provider: how many keys of it are good, and why the last fetch failed."""
        return self._tokens.told()

    async def close(self) -> None:
        await self._tokens.close()
