"""The secrets that a plan needs, looked for on this machine: what is missing, before a request finds out.

Nobody is asked: a token endpoint or a metadata service may still refuse what is found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from engine.control.keyring import KeysSecretFault, keys_secret
from engine.diagnostics import Diagnostic
from engine.plan.plan import Plan
from engine.upstream.auth import authenticator
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.secrets import SecretMissing, Secrets

#: Who needs what clients' keys are hashed with; its reason says that already.
_KEYS: Final = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """A credential of a provider: where it comes from, or why it is not there. No value of a secret."""

    provider: str
    credential: str
    deployments: tuple[str, ...]
    source: str | None
    missing: str | None


#: Why a secret is missing -> who needs it, in words.
Needed = dict[str, set[str]]


def look(plan: Plan, env: Mapping[str, str]) -> tuple[Looked, ...]:
    """Every credential of the plan's deployments, in the order of providers and names."""
    found: dict[tuple[str, str, str | None, str | None], list[str]] = {}
    for name, looked in _credentials(plan, plan.manifest.deployments, env):
        for each in looked:
            found.setdefault((each.provider, each.credential, each.source, each.missing), []).append(name)
    rows = (Looked(*key[:2], tuple(sorted(names)), *key[2:]) for key, names in found.items())
    return tuple(sorted(rows, key=lambda row: (row.provider, row.credential, row.deployments)))


def missing_secrets(plan: Plan, env: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """One E244 for each thing that cannot be read now; no value leaves this function."""
    needed: Needed = {}
    for _ in missing(plan, env, needed):
        pass
    return told(needed)


def missing(plan: Plan, env: Mapping[str, str], needed: Needed) -> Iterator[None]:
    """Fills `needed` with what cannot be read now; in steps, a deployment each."""
    yield from _of_deployments(plan, plan.manifest.deployments, env, needed)
    _of_alerts(plan, env, needed)
    _of_keys(plan, env, needed)


def newly_missing(old: Plan, new: Plan, env: Mapping[str, str], needed: Needed) -> Iterator[None]:
    """The same of what `new` changes, less what `old` lacks too: whoever runs that has been told."""
    was, now = old.manifest, new.manifest
    changed = [
        name
        for name, provider in now.deployments.items()
        if now.deployment_segments[name] != was.deployment_segments.get(name)
        or now.providers[provider] != was.providers.get(provider)
    ]
    yield from _of_deployments(new, changed, env, needed)
    if now.money != was.money:
        _of_alerts(new, env, needed)
    if now.people != was.people:
        _of_keys(new, env, needed)
    if needed:
        known: Needed = {}
        yield from missing(old, env, known)
        for reason in known:
            needed.pop(reason, None)


def told(needed: Needed) -> tuple[Diagnostic, ...]:
    """An E244 for each reason; that of clients' keys first."""
    found = []
    for reason, users in sorted(needed.items(), key=lambda item: (item[1] != {_KEYS}, item[0])):
        names = ", ".join(sorted(users - {_KEYS}))
        advice = "put the file there" if "the secret file" in reason else "set it where `engine serve` runs"
        found.append(Diagnostic("E244", f"{reason}; needed by {names}" if names else reason, None, advice))
    return tuple(found)


def _credentials(
    plan: Plan, names: Iterable[str], env: Mapping[str, str]
) -> Iterator[tuple[str, tuple[Looked, ...]]]:
    """Deployment by deployment, how its credentials stand."""
    secrets, cache = Secrets(env), TokenCache()
    for name in names:
        deployment = plan.deployment(name)
        auth = plan.provider(deployment.provider).auth
        target = {"name": name, "region": deployment.region, "settings": dict(deployment.settings)}
        looked = []
        for credential in deployment.credentials:
            source = lacks = None
            try:
                source = authenticator(auth, credential, secrets, cache, target).there()
            except SecretMissing as error:
                lacks = str(error)
            looked.append(Looked(deployment.provider, credential.name, (name,), source, lacks))
        yield name, tuple(looked)


def _of_deployments(
    plan: Plan, names: Iterable[str], env: Mapping[str, str], needed: Needed
) -> Iterator[None]:
    for name, looked in _credentials(plan, names, env):
        for each in looked:
            if each.missing is not None:
                needed.setdefault(each.missing, set()).add(f"`{name}`")
        yield


def _of_alerts(plan: Plan, env: Mapping[str, str], needed: Needed) -> None:
    secrets = Secrets(env)
    for alert in plan.money().alerts.values():
        if alert.webhook is not None:
            try:
                secrets.get(alert.webhook)
            except SecretMissing as error:
                needed.setdefault(str(error), set()).add(f"the alert `{alert.name}`")


def _of_keys(plan: Plan, env: Mapping[str, str], needed: Needed) -> None:
    try:
        keys_secret(plan.people().secret, env)
    except KeysSecretFault as fault:
        needed[str(fault)] = {_KEYS}
