"""A sealed plan: the manifest and its segments, each addressed by the digest of its text.

A plan is loaded lazily: the manifest names everything, a segment is decoded when it is first asked for. Two
plans share the segments that did not change, so a reload costs what the edit was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from engine.plan import parts
from engine.plan.codec import PlanDecodeError, canonical, decode, digest
from engine.plan.money import NO_MONEY, MoneySegment
from engine.plan.people import People, PeopleSegment
from engine.plan.types import (
    SCHEMA_VERSION,
    Deployment,
    DeploymentSegment,
    DialectSegment,
    Manifest,
    Node,
    NodeSegment,
    ProviderSegment,
    Route,
    RouteSegment,
)
from engine.plan.vendors import Dialect, Provider

T = TypeVar("T")

#: What holds where a workspace says nothing of who asks.
NOBODY: Final = People()


@dataclass(frozen=True)
class Plan:
    """An immutable plan. `segments` maps digests to canonical JSON texts."""

    manifest: Manifest
    segments: Mapping[str, bytes]
    revision: str
    _decoded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def seal(cls, manifest: Manifest, segments: Mapping[str, bytes]) -> Plan:
        """Freeze a manifest and its segments; the revision is the manifest's digest."""
        return cls(manifest, dict(segments), digest(canonical(manifest)))

    def _segment(self, cls: type[T], name: str) -> T:
        found = self._decoded.get(name)
        if found is None:
            found = self._decoded[name] = decode(cls, json.loads(self.segments[name]))
        value: T = found
        return value

    def route(self, name: str) -> Route:
        """The route of that name, its references not yet linked (`link.link`)."""
        return self._segment(RouteSegment, self.manifest.routes[name]).route

    def node(self, name: str) -> Node:
        """The named node."""
        return self._segment(NodeSegment, self.manifest.nodes[name]).node

    def provider(self, name: str) -> Provider:
        return self._segment(ProviderSegment, self.manifest.providers[name]).provider

    def deployment(self, name: str) -> Deployment:
        return self._segment(DeploymentSegment, self.manifest.deployment_segments[name]).deployment

    def dialect(self, name: str) -> Dialect:
        return self._segment(DialectSegment, self.manifest.dialects[name]).dialect

    def money(self) -> MoneySegment:
        """The budgets and limits."""
        name = self.manifest.money
        return self._segment(MoneySegment, name) if name else NO_MONEY

    def people(self) -> People:
        """Who may ask, and what holds for them."""
        name = self.manifest.people
        return self._segment(PeopleSegment, name).people if name else NOBODY

    def dump(self) -> bytes:
        """The whole plan as canonical JSON: what `engine plan --format json` prints and `load` reads."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """`dump`, piece by piece; each is made quickly, however large the plan is."""
        yield b'{"manifest":'
        yield from parts.text(self.manifest)
        yield f',"revision":"{self.revision}","segments":{{'.encode()
        between = ""
        for name in sorted(self.segments):
            yield f'{between}"{name}":'.encode()
            yield self.segments[name]
            between = ","
        yield b"}}"

    def digests(self) -> Iterator[str]:
        """The digest of every segment that the manifest names."""
        held = self.manifest
        for names in (held.routes, held.nodes, held.providers, held.dialects, held.deployment_segments):
            yield from names.values()
        if held.money:
            yield held.money
        if held.people:
            yield held.people

    def adopt(self, other: Plan) -> Iterator[None]:
        """Take over what another plan has decoded of segments that both have, in steps."""
        for name, value in list(other._decoded.items()):
            if name in self.segments:
                self._decoded.setdefault(name, value)
            yield

    def decoded(self) -> Iterable[Any]:
        """What was decoded so far."""
        return self._decoded.values()

    def check(self) -> None:
        """Decode every segment now. Raises PlanDecodeError where one has another version's shape."""
        for read, names in (
            (self.route, self.manifest.routes),
            (self.node, self.manifest.nodes),
            (self.provider, self.manifest.providers),
            (self.deployment, self.manifest.deployment_segments),
            (self.dialect, self.manifest.dialects),
        ):
            for name in names:
                try:
                    read(name)
                except (ValueError, KeyError) as error:
                    raise PlanDecodeError(f"{name}: {error}") from error
        try:
            self.money()
        except (ValueError, KeyError) as error:
            raise PlanDecodeError(f"budgets and limits: {error}") from error
        try:
            self.people()
        except (ValueError, KeyError) as error:
            raise PlanDecodeError(f"people: {error}") from error

    @classmethod
    def load(cls, text: bytes) -> Plan:
        """Read what `dump` wrote, checking every digest.

        Raises:
            PlanDecodeError: not a plan, another schema version, or changed after it was sealed.
        """
        try:
            document = json.loads(text)
            manifest = decode(Manifest, document["manifest"])
            stored = {name: canonical(value) for name, value in document["segments"].items()}
            revision = document["revision"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanDecodeError(f"not a plan: {error}") from error
        if manifest.schema != SCHEMA_VERSION:
            raise PlanDecodeError(f"plan schema {manifest.schema}, this engine reads {SCHEMA_VERSION}")
        for name, segment in stored.items():
            if digest(segment) != name:
                raise PlanDecodeError(f"segment {name[:12]} was changed after it was sealed")
        plan = cls.seal(manifest, stored)
        if plan.revision != revision:
            raise PlanDecodeError("the plan's revision does not match its content")
        return plan
