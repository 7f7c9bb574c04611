"""What shapes the answers of a node, as a digest: so that what was kept of them is not given after an edit.

It covers the node with all below it as linked (kinds, targets, conditions, weights, `params`), of each
deployment that it reaches the model, the place and the model's facts, of its provider what it makes of
requests, and the formats spoken there. It leaves out what changes no answer: ids, timeouts, retries,
`failures`, credentials, prices, limits and health.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from engine.kinds.outline import reached
from engine.plan.codec import encode
from engine.plan.plan import Plan
from engine.plan.types import Node
from engine.policies.digest import digest_of
from engine.wire.formats import faces

_OF_DEPLOYMENT: Final = (
    "provider", "model", "wire_model", "region", "base_url", "options", "settings", "urls", "facts",
)  # fmt: skip
_OF_PROVIDER: Final = (
    "dialect", "headers", "paths", "rename", "drop", "params", "adjust", "takes", "speaks", "operations",
)  # fmt: skip
#: Facts that change no answer.
_BESIDE: Final = frozenset({"prices", "source", "quality"})


def meaning_of(plan: Plan, node: Node) -> str:
    """The digest of a linked node."""
    deployments = {name: _deployment(plan, name) for name in reached(node)}
    providers = sorted({plan.deployment(name).provider for name in deployments})
    vendors = {name: _chosen(encode(plan.provider(name)), _OF_PROVIDER) for name in providers}
    spoken = sorted(
        {face.dialect for name in providers for face in faces(plan.provider(name)) if face.dialect}
    )
    formats = {name: plan.manifest.dialects.get(name) for name in spoken}
    told = [_stripped(encode(node)), deployments, vendors, formats]
    return digest_of(json.dumps(told, sort_keys=True))


def _deployment(plan: Plan, name: str) -> dict[str, Any]:
    found = _chosen(encode(plan.deployment(name)), _OF_DEPLOYMENT)
    found["facts"] = {key: value for key, value in found.get("facts", {}).items() if key not in _BESIDE}
    return found


def _chosen(told: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}


def _stripped(told: Any) -> Any:
    """A node as data, without ids, and of the call options only the parameters."""
    if isinstance(told, list):
        return [_stripped(item) for item in told]
    if not isinstance(told, dict):
        return told
    found = {key: _stripped(value) for key, value in told.items() if key not in ("id", "call")}
    if "kind" in told:
        found["params"] = told.get("call", {}).get("params")
    return found
