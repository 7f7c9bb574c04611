"""A sealed plan: the manifest and its segments, each addressed by the digest of its text.

A plan is loaded lazily: the manifest names everything, a segment is decoded when it is first asked for. Two
plans share the segments that did not change, so a reload costs what the edit was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.plan.codec import PlanDecodeError, canonical, decode, digest
from engine.plan.types import (
    SCHEMA_VERSION,
    Deployment,
    Dialect,
    DialectSegment,
    Manifest,
    Node,
    NodeSegment,
    Provider,
    ProviderSegment,
    Route,
    RouteSegment,
)

T = TypeVar("T")


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
        provider = self.manifest.deployments[name]
        return self._segment(ProviderSegment, self.manifest.providers[provider]).deployments[name]

    def dialect(self, name: str) -> Dialect:
        return self._segment(DialectSegment, self.manifest.dialects[name]).dialect

    def dump(self) -> bytes:
        """The whole plan as canonical JSON: what `engine plan --format json` prints and `load` reads."""
        document = {
            "revision": self.revision,
            "manifest": json.loads(canonical(self.manifest)),
            "segments": {name: json.loads(text) for name, text in self.segments.items()},
        }
        return canonical(document)

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
