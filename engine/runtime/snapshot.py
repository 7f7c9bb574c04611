"""A plan bound to what it runs on: upstreams, functions made of its expressions, linked routes.

Requests pin the snapshot they begin with, so an old one lives until the last of them has ended; a reload
publishes a new one and drains the old. Routes are linked and bound when they are first asked for: a plan of
ten thousand routes costs what is used of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from typing import Any, ClassVar, Final, Protocol
from zoneinfo import ZoneInfo

from engine.kinds.table import KINDS
from engine.kinds.use import longest
from engine.plan.code import bind_expr
from engine.plan.link import link
from engine.plan.plan import Plan
from engine.plan.types import Node, Route
from engine.plan.values import Expr
from engine.plan.vendors import Dialect, Provider
from engine.runtime import tokens
from engine.runtime.bound_route import BoundRoute, budgets_in, expressions_in, jumps_of, targets_in, turns_of
from engine.runtime.keyring import Keyring
from engine.runtime.lazy_dialect import LazyDialect
from engine.runtime.match import Matcher
from engine.runtime.meaning import meaning_of
from engine.runtime.peers import peers_of
from engine.runtime.people import Person, Persons
from engine.runtime.place import LOCAL, Place, Test, counters_of, face_of
from engine.runtime.shared import Shared
from engine.runtime.terms import BudgetTerm, Terms, TermsOf
from engine.runtime.views import Key
from engine.upstream.protocol import Transport, Upstream
from engine.wire.dialect import BoundDialect
from engine.wire.formats import Formats, faces
from engine.wire.pricing import is_timed


class Finds(Protocol):
    """What finds the route of a request: `match.Matcher`, or a test's own."""

    def find(
        self,
        model: str,
        operation: str,
        holds: Callable[[str, Expr], bool],
        person: Person | None = None,
    ) -> str: ...

    def names(self, operation: str = "chat", person: Person | None = None) -> list[str]: ...


#: Of so many keys a route remembers the terms.
_SPECIAL: Final = 10_000

#: A snapshot must be able to read every kind of node, so the table is part of it.
assert KINDS


class Snapshot:
    """A published plan. Made by `control.provision`.

    Args:
        plan: what runs.
        upstreams: provider -> its upstream, already held for this snapshot.
        missing: deployment -> why this process cannot use it; requests go to the next target.
        transport: what the upstreams send with, held for this snapshot, where it is the engine's own.
        matcher: of the plan's matches; default: made here.
    """

    #: How many routes were bound in this process.
    bindings: ClassVar[int] = 0

    def __init__(
        self,
        plan: Plan,
        upstreams: Mapping[str, Shared[Upstream]],
        missing: Mapping[str, str] | None = None,
        transport: Shared[Transport] | None = None,
        matcher: Finds | None = None,
    ) -> None:
        self.plan = plan
        self.revision = plan.revision
        self.matcher: Finds = Matcher(plan.manifest.matches) if matcher is None else matcher
        self.upstreams = dict(upstreams)
        self.missing = dict(missing or {})
        self.transport = transport
        zone = plan.manifest.settings.timezone
        self.zone: tzinfo = ZoneInfo(zone) if zone else UTC
        #: The client keys of the plan; None: this process asks for none.
        self.keyring: Keyring | None = None
        self._routes: dict[str, BoundRoute] = {}
        self.dialects = {
            name: LazyDialect(plan.segments[segment]) for name, segment in plan.manifest.dialects.items()
        }
        self._match_tests: dict[int, Test] = {}
        self._terms: TermsOf | None = None
        self._persons: Persons | None = None
        self._users = 0
        self._retired = False
        self._unused = asyncio.Event()

    # --- users --------------------------------------------------------------------------------------

    @property
    def users(self) -> int:
        """Requests that hold it now."""
        return self._users

    def pin(self) -> None:
        """A request begins."""
        self._users += 1

    def unpin(self) -> None:
        """A request has ended."""
        self._users -= 1
        if self._users < 0:
            raise AssertionError("a snapshot was unpinned more often than pinned")
        if self._users == 0 and self._retired:
            self._unused.set()

    async def drain(self) -> None:
        """Wait until the last request has ended, then close what no other snapshot holds."""
        self._retired = True
        if self._users:
            await self._unused.wait()
        await self.close()

    async def close(self) -> None:
        """Let go of the upstreams now. Calling it twice does no harm."""
        held, self.upstreams = self.upstreams, {}
        transport, self.transport = self.transport, None
        for upstream in held.values():
            await upstream.let_go()
        if transport is not None:
            await transport.let_go()

    def held(self) -> Iterator[Iterable[Any]]:
        """Everything that a large plan has much of. Whoever lets a snapshot go while he holds these, and lets
        go of them some at a time, never frees all of it in one go.
        """
        manifest = self.plan.manifest
        for names in (manifest.routes, manifest.nodes, manifest.deployments, manifest.deployment_segments):
            yield names
            yield names.values()
        yield manifest.matches
        yield self.plan.segments.values()
        yield self.plan.decoded()
        yield self._routes.values()
        yield self._match_tests.values()
        if isinstance(self.matcher, Matcher):
            yield from self.matcher.held()

    # --- what it binds ------------------------------------------------------------------------------

    def adopt(self, previous: Snapshot) -> Iterator[None]:
        """Take over the dialects that another snapshot has bound and that are the same here: binding one
        takes tens of milliseconds, and a reload hardly ever changes one. And what its plan has decoded. In
        steps.
        """
        mine, others = self.plan.manifest.dialects, previous.plan.manifest.dialects
        for name, shared in previous.dialects.items():
            if mine.get(name) == others[name]:
                self.dialects[name] = shared
        yield from self.plan.adopt(previous.plan)

    def route(self, name: str) -> BoundRoute:
        """The route, linked and bound on first use."""
        bound = self._routes.get(name)
        if bound is None:
            plan = self.plan
            route = link(plan.route(name), plan.node, lambda deployment: plan.deployment(deployment).call)
            bound = self._routes[name] = self.bind(route)
        return bound

    def dialect(self, name: str) -> BoundDialect:
        """A dialect of the plan, bound on first use: for clients that speak it and upstreams that do."""
        return self.dialects[name].bound

    def match_test(self, when: Expr) -> Test:
        """The function of a `match.when`, which is asked before its route is bound."""
        test = self._match_tests.get(id(when))
        if test is None:
            test = self._match_tests[id(when)] = bind_expr(when)
        return test

    def meaning(self, bound: BoundRoute, node: Node) -> str:
        """`meaning_of` a node of a bound route."""
        found = bound.meanings.get(id(node))
        if found is None:
            found = bound.meanings[id(node)] = meaning_of(self.plan, node)
        return found

    def bind(self, route: Route) -> BoundRoute:
        """A linked route with what it runs on."""
        Snapshot.bindings += 1
        uses = tuple(targets_in(route.start))
        places = {name: self._place(name) for name in sorted({use.deployment for use in uses})}
        for name, place in places.items():
            if is_timed(place.deployment.facts.prices):
                here = (use for use in uses if use.deployment == name)
                place.longest_ms = longest(here, route.per_request.time_ms)
        facts = [place.deployment.facts for place in places.values()]
        overhead = tokens.widest(each.overhead for each in facts)
        images = tokens.images_of(each.image for each in facts)
        expressions = (*expressions_in(route.start), *turns_of(route))
        compared = self._compared(expressions)
        return BoundRoute(
            route=route,
            tests={id(expr): bind_expr(expr) for expr in expressions},
            places=places,
            overhead=overhead,
            counters=counters_of(places.values()),
            peers=peers_of(route.start),
            terms=self.terms.route(route),
            count=tokens.rule(overhead, images),
            most_output=max((place.deployment.facts.output or 0 for place in places.values()), default=0),
            compared=compared,
            jumps=jumps_of(route.start),
            counts=bool(compared) or any(place.limits for place in places.values()),
        )

    def _compared(self, expressions: Iterable[Expr]) -> tuple[BudgetTerm, ...]:
        """The budgets that these read."""
        if not self.plan.manifest.money:
            return ()
        names = {name for expr in expressions for name in budgets_in(expr.ir)}
        return tuple(self.terms.budget(name) for name in sorted(names))

    @property
    def terms(self) -> TermsOf:
        """Makes the terms of routes."""
        if self._terms is None:
            self._terms = TermsOf(self.plan.money())
        return self._terms

    def person(self, key: Key) -> Person:
        """What holds for a key, whatever it asks for."""
        if self._persons is None:
            self._persons = Persons(self.plan.people(), self.plan.money())
        return self._persons.of(key)

    def terms_of(self, bound: BoundRoute, person: Person) -> Terms:
        """What holds for a key's requests of a route."""
        if person.plain:
            return bound.terms
        found = bound.special.get(id(person))
        if found is None or found[0] is not person:
            if len(bound.special) >= _SPECIAL:
                bound.special.clear()
            terms = self.terms.person(bound.route, bound.terms, person)
            found = bound.special[id(person)] = person, terms
        return found[1]

    def _place(self, name: str) -> Place:
        deployment = self.plan.deployment(name)
        provider = self.plan.provider(deployment.provider)
        credentials = tuple((c, bind_expr(c.only) if c.only else None) for c in deployment.credentials)
        return Place(
            deployment=deployment,
            upstream=self.upstreams[deployment.provider].value,
            operations=self._operations(provider),
            formats=Formats(provider, deployment, _operations_of(self.dialects)),
            faces=tuple(face_of(deployment, face, self._format(face.dialect)) for face in faces(provider)),
            local=provider.dialect is None,
            credentials=credentials,
            missing=self.missing.get(name),
            limits=tuple(self.terms.limit(each) for each in deployment.limits),
        )

    def _operations(self, provider: Provider) -> frozenset[str]:
        """What it serves, as far as one of its formats carries it."""
        formats = [self.dialects[face.dialect].plan for face in faces(provider) if face.dialect is not None]
        if not formats:
            return LOCAL
        return frozenset(op for each in formats for op in each.operations).intersection(provider.operations)

    def _format(self, name: str | None) -> Dialect | None:
        return None if name is None else self.dialects[name].plan


def _operations_of(dialects: Mapping[str, LazyDialect]) -> Callable[[str], frozenset[str]]:
    """Without the snapshot: what a route holds must not hold it, or it would outlive its last user."""
    return lambda name: frozenset(dialects[name].plan.operations)
