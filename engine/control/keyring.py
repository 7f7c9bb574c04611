"""The plan's client keys, made ready: the secret of their hashes is read here, once a plan."""

from __future__ import annotations

from collections.abc import Mapping

from engine.keys.hashing import PUBLIC, why_weak
from engine.plan.people import People
from engine.plan.values import Secret
from engine.runtime.keyring import Keyring, in_git
from engine.upstream.secrets import SecretMissing, Secrets


class KeysSecretFault(ValueError):
    """`keys_secret` cannot be used. The text says why and never what it is."""


def make_keyring(people: People, env: Mapping[str, str] | None = None) -> Keyring:
    """The keys of a plan. Raises KeysSecretFault."""
    return Keyring(in_git(people.clients), keys_secret(people.secret, env))


def keys_secret(place: Secret | None, env: Mapping[str, str] | None = None) -> bytes:
    """What hashes of client keys are made under. Raises KeysSecretFault."""
    if place is None:
        return PUBLIC
    try:
        secret = Secrets(env).get(place).reveal()
    except SecretMissing as missing:
        raise KeysSecretFault(f"keys_secret: {missing}") from None
    weak = why_weak(secret)
    if weak is not None:
        raise KeysSecretFault(
            f"keys_secret: what stands in {place} cannot be used: {weak}; "
            "take 32 random bytes: openssl rand -base64 32"
        )
    return secret.encode()
