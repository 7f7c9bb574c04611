"""The secrets that a plan needs, looked for on this machine: what is missing, before a request finds out.

Nobody is asked: a token endpoint or a metadata service may still refuse what is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.control.keyring import KeysSecretFault, keys_secret
from engine.diagnostics import Diagnostic
from engine.plan.plan import Plan
from engine.upstream.auth import authenticator
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.secrets import SecretMissing, Secrets


@dataclass(frozen=True, slots=True)
class Looked:
    """A credential of a provider: where it comes from, or why it is not there. No value of a secret."""

    provider: str
    credential: str
    deployments: tuple[str, ...]
    source: str | None
    missing: str | None


def look(plan: Plan, env: Mapping[str, str]) -> tuple[Looked, ...]:
    """Every credential of the plan's deployments, in the order of providers and names."""
    secrets, cache = Secrets(env), TokenCache()
    found: dict[tuple[str, str, str | None, str | None], list[str]] = {}
    for name in plan.manifest.deployments:
        deployment = plan.deployment(name)
        auth = plan.provider(deployment.provider).auth
        target = {"name": name, "region": deployment.region, "settings": dict(deployment.settings)}
        for credential in deployment.credentials:
            source = missing = None
            try:
                source = authenticator(auth, credential, secrets, cache, target).there()
            except SecretMissing as error:
                missing = str(error)
            found.setdefault((deployment.provider, credential.name, source, missing), []).append(name)
    rows = (Looked(*key[:2], tuple(sorted(names)), *key[2:]) for key, names in found.items())
    return tuple(sorted(rows, key=lambda row: (row.provider, row.credential, row.deployments)))


def missing_secrets(plan: Plan, env: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """One E244 for each thing that cannot be read now; no value leaves this function."""
    needed: dict[str, set[str]] = {}
    for row in look(plan, env):
        if row.missing is not None:
            needed.setdefault(row.missing, set()).update(f"`{name}`" for name in row.deployments)
    secrets = Secrets(env)
    for alert in plan.money().alerts.values():
        if alert.webhook is not None:
            try:
                secrets.get(alert.webhook)
            except SecretMissing as error:
                needed.setdefault(str(error), set()).add(f"the alert `{alert.name}`")
    found = []
    try:
        keys_secret(plan.people().secret, env)
    except KeysSecretFault as fault:
        found.append(Diagnostic("E244", str(fault), None, "set it where `engine serve` runs"))
    for reason, users in sorted(needed.items()):
        names = ", ".join(sorted(users))
        advice = "put the file there" if "the secret file" in reason else "set it where `engine serve` runs"
        found.append(Diagnostic("E244", f"{reason}; needed by {names}", None, advice))
    return tuple(found)
