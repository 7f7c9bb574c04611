"""What templates, rules and conditions read of a call's target: `facts`, `target`, `provider`."""

from __future__ import annotations

import dataclasses
from typing import Any

from engine.plan.types import Deployment
from engine.plan.vendors import Facts, Provider


def facts_of(facts: Facts) -> dict[str, Any]:
    """What is known of a model; what is unknown is absent."""
    known = {key: value for key, value in dataclasses.asdict(facts).items() if value is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in known.items()}


def target_of(deployment: Deployment, op: str) -> dict[str, Any]:
    """A deployment, before a request is known."""
    return {
        "name": deployment.name,
        "model": deployment.model,
        "wire_model": deployment.wire_model,
        "region": deployment.region,
        "base_url": deployment.base_url,
        "api_version": deployment.facts.api_version,
        "operation": op,
        "settings": dict(deployment.settings),
    }


def provider_of(provider: Provider) -> dict[str, Any]:
    """A provider."""
    return {"name": provider.name, "drop": list(provider.drop), "takes": list(provider.takes)}
