"""The secrets that a plan needs, looked for on this machine: what is missing, before a request finds out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.diagnostics import Diagnostic
from engine.plan.plan import Plan
from engine.plan.types import Secret
from engine.upstream.secrets import SecretMissing, Secrets


def missing_secrets(plan: Plan, env: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """One E244 for each secret that cannot be read now; no value leaves this function."""
    secrets = Secrets(env)
    found = []
    for places, users in sorted(_needed(plan).items(), key=lambda item: [str(place) for place in item[0]]):
        try:
            secrets.first(places)
        except SecretMissing as error:
            names = ", ".join(f"`{name}`" for name in sorted(users))
            advice = "set it where `engine serve` runs" if places[0].source == "env" else "put the file there"
            found.append(Diagnostic("E244", f"{error}; needed by {names}", None, advice))
    return tuple(found)


def _needed(plan: Plan) -> dict[tuple[Secret, ...], set[str]]:
    """The places of a secret -> the deployments that show it."""
    needed: dict[tuple[Secret, ...], set[str]] = {}
    for name, places in _shown(plan):
        needed.setdefault(places, set()).add(name)
    return needed


def _shown(plan: Plan) -> Iterator[tuple[str, tuple[Secret, ...]]]:
    for name in plan.manifest.deployments:
        for credential in plan.deployment(name).credentials:
            for places in credential.secrets.values():
                if places:
                    yield name, places
