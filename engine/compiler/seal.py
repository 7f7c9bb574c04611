"""Freezes what was lowered: segments, the manifest that names them, and the revision over it.

Only what a route can reach is in a plan, so that adding an unused deployment is no new revision. Names are
sorted wherever a map becomes a list: the order of files and keys never matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

from engine.kinds import table  # noqa: F401 - makes the node kinds known to the decoder
from engine.kinds.use import Use
from engine.plan.codec import canonical, digest
from engine.plan.money import NO_MONEY, MoneySegment
from engine.plan.people import People, PeopleSegment
from engine.plan.plan import NOBODY, Plan
from engine.plan.price_book import book_digest
from engine.plan.types import (
    SCHEMA_VERSION,
    Deployment,
    DeploymentSegment,
    DialectSegment,
    Manifest,
    Node,
    NodeSegment,
    ProviderSegment,
    Ref,
    Route,
    RouteSegment,
    Settings,
)
from engine.plan.vendors import Dialect, Provider
from engine.wire.formats import faces


@dataclass(slots=True)
class Lowered:
    """Everything a workspace lowers to, used or not, by name."""

    settings: Settings = field(default_factory=Settings)
    routes: dict[str, Route] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    dialects: dict[str, Dialect] = field(default_factory=dict)
    money: MoneySegment = NO_MONEY
    people: People = NOBODY


@dataclass(frozen=True, slots=True)
class Reached:
    """What the routes use."""

    nodes: frozenset[str]
    deployments: frozenset[str]


def seal(lowered: Lowered) -> Plan:
    """The plan of what was lowered."""
    used = reached(lowered)
    segments: dict[str, bytes] = {}

    def store(value: Any) -> str:
        text = canonical(value)
        name = digest(text)
        segments[name] = text
        return name

    routes = {name: store(RouteSegment(lowered.routes[name])) for name in sorted(lowered.routes)}
    nodes = {name: store(NodeSegment(name, lowered.nodes[name])) for name in sorted(used.nodes)}
    deployments = {name: lowered.deployments[name] for name in sorted(used.deployments)}
    providers = {
        name: store(ProviderSegment(lowered.providers[name]))
        for name in sorted({d.provider for d in deployments.values()})
    }
    dialects = {}
    for name in sorted(_dialects(lowered, providers)):
        dialects[name], text = _sealed(lowered.dialects[name])
        segments[dialects[name]] = text
    manifest = Manifest(
        schema=SCHEMA_VERSION,
        settings=lowered.settings,
        routes=routes,
        nodes=nodes,
        providers=providers,
        dialects=dialects,
        matches=tuple((name, lowered.routes[name].match) for name in sorted(lowered.routes)),
        deployments={name: deployment.provider for name, deployment in deployments.items()},
        deployment_segments={name: store(DeploymentSegment(d)) for name, d in deployments.items()},
        ingress=_ingress(lowered, dialects),
        probes={name: d.probe.every_ms for name, d in deployments.items() if d.probe is not None},
        prices=book_digest(deployments),
        money="" if lowered.money == NO_MONEY else store(lowered.money),
        people="" if lowered.people == NOBODY else store(PeopleSegment(lowered.people)),
    )
    return Plan.seal(manifest, segments)


#: Dialects that were sealed before, with their digests and texts, by identity: a process that compiles again
#: and again has the same objects each time. They are held, so that an identity is never another's.
_known: dict[int, tuple[Dialect, str, bytes]] = {}
_MOST_KNOWN: Final = 128


def _sealed(dialect: Dialect) -> tuple[str, bytes]:
    """The digest and text of a dialect's segment."""
    known = _known.get(id(dialect))
    if known is None:
        text = canonical(DialectSegment(dialect))
        known = dialect, digest(text), text
        if len(_known) < _MOST_KNOWN:
            _known[id(dialect)] = known
    return known[1], known[2]


def reached(lowered: Lowered) -> Reached:
    """The named nodes and deployments that some route leads to."""
    nodes: set[str] = set()
    deployments: set[str] = set()
    waiting = [route.start for route in lowered.routes.values()]
    while waiting:
        for node in nodes_in(waiting.pop()):
            if isinstance(node, Use):
                deployments.add(node.deployment)
            elif isinstance(node, Ref) and node.name not in nodes:
                nodes.add(node.name)
                waiting.append(lowered.nodes[node.name])
    return Reached(frozenset(nodes), frozenset(deployments))


def nodes_in(value: Any) -> Iterator[Node]:
    """A node and all that stands inside it, whatever its kind; references are not followed."""
    if isinstance(value, Node):
        yield value
    if isinstance(value, tuple):
        for item in value:
            yield from nodes_in(item)
    elif is_dataclass(value):
        for each in fields(value):
            if each.name not in ("id", "call", "when"):
                yield from nodes_in(getattr(value, each.name))


def _dialects(lowered: Lowered, providers: Mapping[str, str]) -> set[str]:
    """The dialects that a provider in the plan speaks, and those that clients may speak."""
    spoken = {face.dialect for name in providers for face in faces(lowered.providers[name])}
    heard = {name for name, dialect in lowered.dialects.items() if _paths(dialect)}
    return {name for name in spoken if name is not None} | heard


def _paths(dialect: Dialect) -> list[tuple[str, str]]:
    return [
        (path, name)
        for name, operation in dialect.operations.items()
        for path in (*operation.ingress, *operation.stream_ingress)
    ]


def _ingress(lowered: Lowered, dialects: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {
        path: (dialect, operation)
        for dialect in sorted(dialects)
        for path, operation in sorted(_paths(lowered.dialects[dialect]))
    }
