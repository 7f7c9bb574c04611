"""Where a secret is read: `env:NAME`, `file:/path`, `vault:...`. Anything else is E105, never repeated."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainValidator
from typing_extensions import TypeAliasType

from engine.keys.looks import looks_secret
from engine.plan.values import Secret
from engine.spec.fault import fault
from engine.spec.json_form import json_form
from engine.spec.one_or_more import OrOne

_SECRET: Final = re.compile(r"(env|file|vault):(.+)")
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _secret(value: Any) -> Secret:
    """Reads `env:NAME`, `file:/path`, `vault:...`. What it cannot read is never repeated: it may be a key."""
    advice = "write env:NAME, file:/path or vault:PATH, and put the secret there"
    if not isinstance(value, str):
        raise fault(
            "E102", f"{'nothing' if value is None else 'no text'} stands where a secret is expected", advice
        )
    match = _SECRET.fullmatch(value.strip())
    if match is None:
        if _ENV.fullmatch(value) and value.isupper() and "_" in value and not looks_secret(value):
            advice = "if it names an environment variable, write env: before it"
        raise fault("E105", "a secret stands here in plain text (it is not shown)", advice)
    source, name = match[1], match[2]
    if source == "env" and (not _ENV.fullmatch(name) or looks_secret(name)):
        raise fault(
            "E105", "what follows `env:` is not the name of an environment variable (it is not shown)", advice
        )
    return Secret(source, name)  # type: ignore[arg-type]  # one of the three, by the pattern


SecretRef = TypeAliasType(
    "SecretRef",
    Annotated[
        Secret,
        PlainValidator(_secret),
        json_form(
            r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|vault:.+)$",
            "Where a secret is read: an environment variable, a file, or a vault. Never the secret itself.",
            "env:ACME_API_KEY",
            "file:/run/secrets/acme",
        ),
    ],
)


def _listed(value: Any) -> Any:
    """One place or a list of them; no value is looked at here, because it may be a key."""
    if not isinstance(value, list | tuple):
        return (value,)
    if not value:
        raise fault("E114", "the list is empty", "name at least one place, or leave the key out")
    return tuple(value)


#: One place or several: the first that is set counts.
SecretRefs = Annotated[tuple[SecretRef, ...], BeforeValidator(_listed), OrOne()]


def read_secrets(value: Any) -> tuple[Secret, ...]:
    """The same, for a field that may also hold something else."""
    return tuple(_secret(each) for each in _listed(value))
