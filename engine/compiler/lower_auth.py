"""`auth:` of a provider file, and the credentials of a workspace, as the plan's types."""

from __future__ import annotations

from typing import Any

from engine.compiler.document import Document, Path
from engine.compiler.expr import compile_template
from engine.diagnostics import Diagnostics
from engine.plan.auth import FINDS_ITS_OWN, SLOTS
from engine.plan.types import Credential
from engine.plan.values import Json, Secret, Template
from engine.plan.vendors import Auth
from engine.spec.auth import AuthSpec
from engine.spec.credential import Credential as Written
from engine.spec.model import Spec

#: Where the one secret of the simple schemes stands in a credential.
SLOT = "secret"
#: The schemes that put a key into its place: their default stands in the default credential.
_SIMPLE = ("bearer", "header", "query")
#: Fields that are addresses: what a template puts there is one segment.
_URLS = frozenset({"token_url", "sts_url", "authority", "metadata_url"})
_MARK = "${{"


def lower_auth(spec: AuthSpec, document: Document, path: Path, out: Diagnostics) -> Auth:
    """The plan's `auth` of a provider file; it stands at `path`."""
    scheme = spec.scheme
    if scheme == "any_of":
        listed = isinstance(_at(document.data, path), list)
        members = tuple(
            lower_auth(member, document, (*path, *(() if listed else ("any_of",)), number), out)
            for number, member in enumerate(spec.any_of or ())
        )
        return Auth(scheme, {}, spec.pattern, any_of=members)
    if scheme == "none":
        return Auth(scheme, {}, spec.pattern)
    if scheme == "bearer":
        return Auth(scheme, {}, spec.pattern, secrets={SLOT: spec.bearer or ()})
    params, templates, secrets = _fields(getattr(spec, scheme), scheme, document, (*path, scheme), out)
    return Auth(scheme, params, spec.pattern, templates, secrets)


def default_credential(auth: Auth, name: str) -> Credential | None:
    """The credential of a deployment that names none: what the file's `auth` says. None: it says none.

    That of a scheme beyond one key is empty: its places stand in the scheme itself, and any may be unset.
    """
    if auth.scheme in _SIMPLE:
        places = auth.secrets.get(SLOT)
        return _default(name, {SLOT: places}) if places else None
    says = auth.secrets or auth.scheme in FINDS_ITS_OWN or _machine(auth)
    return _default(name, {}) if says or _any(auth, name) else None


def _default(name: str, secrets: dict[str, tuple[Secret, ...]]) -> Credential:
    return Credential(name=name, provider=name, secrets=secrets, settings={}, default=True)


def _any(auth: Auth, name: str) -> bool:
    return any(default_credential(member, name) is not None for member in auth.any_of)


def _machine(auth: Auth) -> bool:
    """Whether the machine itself may be asked who it is."""
    return bool(auth.params.get("metadata_url") or auth.params.get("managed_identity"))


def lower_credential(spec: Written, provider: str, name: str, only: Any) -> Credential:
    """A credential of the workspace: the places of its secrets, and its plain texts."""
    secrets: dict[str, tuple[Secret, ...]] = {}
    settings: dict[str, str] = {}
    for slot in spec.slots:
        value = getattr(spec, slot)
        if isinstance(value, tuple):
            secrets[slot] = value
        else:
            settings[slot] = value
    return Credential(name=name, provider=provider, secrets=secrets, settings=settings, only=only)


def _fields(
    spec: Spec, scheme: str, document: Document, path: Path, out: Diagnostics
) -> tuple[dict[str, Json], dict[str, Template], dict[str, tuple[Secret, ...]]]:
    """A scheme's fields: as they are, as templates, and where its secrets are read."""
    params: dict[str, Json] = {}
    templates: dict[str, Template] = {}
    secrets: dict[str, tuple[Secret, ...]] = {}
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if value is None:
            continue
        if name in SLOTS[scheme] and isinstance(value, tuple):
            secrets[name] = value
        elif _is_template(value):
            made = compile_template(
                value,
                document=document,
                path=(*path, name) if name in spec.model_fields_set else path,
                scope="place",
                escape="path" if name in _URLS else "text",
                out=out,
            )
            if made is not None:
                templates[name] = made
        else:
            params[name] = value.lower() if scheme == "header" and name == "name" else value
    return params, templates, secrets


def _is_template(value: Any) -> bool:
    texts = value.values() if isinstance(value, dict) else (value,)
    return any(isinstance(text, str) and _MARK in text for text in texts)


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else data[int(key)]
    return data
