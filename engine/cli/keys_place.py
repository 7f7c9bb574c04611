"""Where `engine keys` works: a workspace's settings, its state store, and what its plan declares.

What takes keys away needs the settings alone, so that a workspace that does not compile stops nobody from
revoking one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from engine.cli.output import CommandFailed, colour_on
from engine.control.keyring import KeysSecretFault, keys_secret
from engine.keys import hashing
from engine.keys.wanted import Declared
from engine.state.keys import KeyStore, Said, StoredKey
from engine.state.open_keys import keeps_keys, open_keys

if TYPE_CHECKING:
    from engine.plan.people import Client
    from engine.plan.plan import Plan
    from engine.spec.settings import Settings


class Place:
    """One workspace. Everything is read when it is first asked for."""

    def __init__(self, workspace: str, env: str | None) -> None:
        self.root = Path(workspace)
        self._env = env

    @cached_property
    def settings(self) -> Settings:
        """engine.yaml. Raises CommandFailed."""
        from engine.compiler.render.text import render
        from engine.compiler.settings_alone import settings_alone
        from engine.diagnostics import Diagnostics

        if not self.root.is_dir():
            raise CommandFailed(f"there is no workspace at {self.root}", help="name its folder with -w")
        out = Diagnostics()
        settings, texts = settings_alone(self.root, out)
        if out.failed:
            sys.stderr.write(render(out.sorted(), texts, color=colour_on(sys.stderr)))
            raise CommandFailed("engine.yaml does not say where keys are kept")
        return settings

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.settings.timezone) if self.settings.timezone else UTC

    @property
    def has_store(self) -> bool:
        return keeps_keys(self.settings.state)

    @contextlib.asynccontextmanager
    async def store(self, *, make: bool = False, of: str | None = None) -> AsyncIterator[KeyStore]:
        """The keys of the state store. make: also where there are none yet. of: the client whose key is
        looked for, who may be one of Git. Raises CommandFailed.
        """
        if not self.has_store:
            self.refuse_git(of)
            raise CommandFailed(
                "`state: memory` keeps no keys: they would be gone with the process",
                help="`engine keys new --print` gives YAML for `keys: {clients: ...}`; or let engine.yaml "
                "say `state: sqlite:.engine/state.db`",
            )
        store = await self._opened(make)
        if store is None:
            self.refuse_git(of)
            raise CommandFailed("nobody has a key here yet", help="`engine keys new NAME` makes one")
        try:
            yield store
        finally:
            await store.close()

    async def stored(self) -> list[StoredKey]:
        """The keys that the state store has, good or not."""
        store = await self._opened(make=False)
        if store is None:
            return []
        try:
            return await store.every()
        finally:
            await store.close()

    async def _opened(self, make: bool) -> KeyStore | None:
        try:
            return await open_keys(self.settings.state, self.root, make=make)
        except OSError as error:
            raise CommandFailed(str(error)) from None

    @cached_property
    def _secret(self) -> bytes:
        try:
            return keys_secret(self.settings.keys_secret)
        except KeysSecretFault as fault:
            raise CommandFailed(str(fault)) from None

    def digest(self, key: str) -> bytes:
        """What is kept of a key. Raises CommandFailed where `keys_secret` cannot be read."""
        return hashing.digest(key.encode(), self._secret)

    def proof(self) -> bytes:
        return hashing.proof(self._secret)

    # --- what the plan declares -----------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan | None:
        """None where it does not compile; the reasons are printed."""
        from engine.cli.compiled import compiled

        return compiled(str(self.root), self._env, quiet=True).plan

    def declared(self) -> Declared | None:
        """What keys may say; None where the workspace does not compile."""
        if self.plan is None:
            return None
        people, money = self.plan.people(), self.plan.money()
        return Declared(
            orgs=people.orgs,
            tags={name: (tag.values, tag.required) for name, tag in people.tags.items()},
            groups={group.name for group in people.groups},
            budgets=money.budgets.keys(),
            limits=money.limits.keys(),
            models={name for _, match in self.plan.manifest.matches for name in match.models},
            bound=_bound(self.plan),
        )

    def _clients(self) -> tuple[Client, ...]:
        return () if self.plan is None else self.plan.people().clients

    def in_git(self) -> set[str]:
        """The names of clients whose keys are kept in Git."""
        return {client.name for client in self._clients()}

    def refuse_git(self, name: str | None) -> None:
        """Raises CommandFailed where this client's key is kept in Git, which no command changes."""
        if name in self.in_git():
            raise CommandFailed(
                f"the key of `{name}` is kept in Git, not in the state store",
                help=f"change or remove `keys.clients.{name}` there; a running sidecar follows the file",
            )

    def git_clients(self, now: float) -> dict[str, tuple[str, dict[str, Any], str | None]]:
        """name -> (state, what it says, until when)."""
        from datetime import datetime

        found = {}
        for each in self._clients():
            said = Said(each.org, each.tags, each.groups, each.models, each.limits, each.budgets, each.ips)
            over = each.expires is not None and each.expires <= now
            until = None if each.expires is None else datetime.fromtimestamp(each.expires, UTC).isoformat()
            found[each.name] = ("expired" if over else "good", said.as_json(), until)
        return found


def _bound(plan: Plan) -> set[str]:
    """The budgets and limits with a `use` that is no branch of some route: a key of the store cannot bring
    them there.
    """
    from engine.kinds.jumps import Jumps

    money = plan.money()
    uses = {name: {step.use for step in each.steps} - {None} for name, each in money.budgets.items()}
    uses |= {name: {each.use} - {None} for name, each in money.limits.items()}
    uses = {name: targets for name, targets in uses.items() if targets}
    if not uses:
        return set()
    starts = [plan.route(name).start for name in plan.manifest.routes]
    known = [{each.name for each in s.branches} if isinstance(s, Jumps) else set[str]() for s in starts]
    return {name for name, targets in uses.items() if not all(targets <= branches for branches in known)}
