"""How a call shows its credential: by the scheme that the provider names.

A credential is only ever joined with the base URL that the plan holds for its own deployment, and a token is
only ever asked for at the address that the provider file names, so it goes to no other host. Of `any_of`
schemes a call uses the first whose credential is there. The schemes beyond a key in its place are in
`schemes/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from engine.plan.auth import SLOTS
from engine.plan.code import bind_template
from engine.plan.types import Credential
from engine.plan.values import Json, Secret
from engine.plan.vendors import Auth
from engine.upstream.schemes.authenticator import NOTHING, Authenticator, Headers, Shown
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.secrets import SecretMissing, Secrets, SecretValue

__all__ = ["ANY_OF", "SLOT", "Authenticator", "Shown", "authenticator"]

#: Where the one secret of the simple schemes stands in `Credential.secrets`.
SLOT: Final = "secret"
#: The scheme that is a list of others.
ANY_OF: Final = "any_of"

Scheme = Callable[[Mapping[str, Json], SecretValue], Shown]


def _bearer(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    return Shown(headers=(("authorization", f"Bearer {secret.reveal()}"),))


def _header(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    prefix = params.get("prefix", "")
    return Shown(headers=((str(params["name"]).lower(), f"{prefix}{secret.reveal()}"),))


def _query(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    return Shown(query=f"{quote(str(params['name']), safe='')}={quote(secret.reveal(), safe='')}")


#: The schemes that put a key into its place.
SCHEMES: Final[Mapping[str, Scheme]] = {"bearer": _bearer, "header": _header, "query": _query}


class KeyAuth(Authenticator):
    """A key in its place, read again at every call but rendered only when it has changed."""

    def __init__(self, auth: Auth, places: tuple[Secret, ...], secrets: Secrets) -> None:
        self._scheme = SCHEMES[auth.scheme]
        self._params = auth.params
        self._places = places
        self._secrets = secrets
        self._value: SecretValue | None = None
        self._shown = NOTHING
        name = str(auth.params.get("name"))
        self.header = {"bearer": "authorization", "header": name}.get(auth.scheme)
        self.parameter = quote(name, safe="") if auth.scheme == "query" else None

    def there(self) -> str:
        """Where the key is read. Raises SecretMissing."""
        self.show()
        return next(str(place) for place in self._places if self._secrets.stands(place))

    def show(self) -> Shown:
        """What the next call carries; the same object for as long as the secret is the same.

        Raises:
            SecretMissing: the secret cannot be read now.
        """
        if not self._places:
            raise SecretMissing("no credential: set `credentials` on the deployment")
        value = self._secrets.first(self._places)
        if value != self._value:
            self._shown = self._scheme(self._params, value)
            self._value = value
        return self._shown


class AnyOf(Authenticator):
    """The first of several schemes whose credential is there, chosen anew for each call."""

    waits = True
    signs = True

    def __init__(self, members: tuple[Authenticator, ...]) -> None:
        self._members = members
        self._chosen = members[0]
        self.header = next((m.header for m in members if m.header is not None), None)

    def there(self) -> str:
        """Where the credential of the one to use comes from. Raises SecretMissing, of all of them."""
        return self._choose()

    def ready(self) -> bool:
        """Choose, and ask the chosen one."""
        self._choose()
        return self._chosen.ready()

    async def prepare(self) -> None:
        """The chosen one's."""
        chosen = self._chosen
        await chosen.prepare()
        self._chosen = chosen  # another call may have chosen meanwhile

    def show(self) -> Shown:
        """The chosen one's."""
        return self._chosen.show()

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The chosen one's."""
        return self._chosen.sign(method, url, headers, body)

    def refused(self) -> None:
        """The chosen one's."""
        self._chosen.refused()

    def _choose(self) -> str:
        reasons = []
        for member in self._members:
            try:
                found = member.there()
            except SecretMissing as missing:
                reasons.append(str(missing))
            else:
                self._chosen = member
                return found
        raise SecretMissing("; ".join(reasons))


def authenticator(
    auth: Auth,
    credential: Credential | None,
    secrets: Secrets,
    cache: TokenCache,
    target: Mapping[str, Any],
) -> Authenticator:
    """The scheme of a provider with one credential.

    credential: None where the deployment has none. cache: keeps tokens. target: what templates in the
    scheme's fields may read (`region`, `settings`), and `name`, for the log.
    """
    if auth.scheme == "none":
        return Authenticator()
    if auth.scheme == ANY_OF:
        fitting = [each for each in auth.any_of if _fits(each, credential)]
        return AnyOf(tuple(authenticator(each, credential, secrets, cache, target) for each in fitting))
    explicit = _explicit(credential)
    places = credential.secrets if credential is not None and explicit else auth.secrets
    if auth.scheme in SCHEMES:
        return KeyAuth(auth, places.get(SLOT, ()), secrets)
    # Deferred: only who fetches tokens or signs pays for what does.
    from engine.upstream.schemes.given import Given

    made = {name: bind_template(template)(target) for name, template in auth.templates.items()}
    params = {**auth.params, **{name: value for name, value in made.items() if value is not None}}
    said = credential.settings if credential is not None and explicit else params
    settings = {slot: str(said[slot]) for slot in SLOTS[auth.scheme] if slot in said}
    given = Given(secrets, places, settings, explicit=explicit)
    whose = str(target.get("name", ""))
    if auth.scheme == "aws_sigv4":
        from engine.upstream.schemes.sigv4_auth import SigV4Auth

        return SigV4Auth(params, given, secrets, cache, whose)
    from engine.upstream.schemes.token_auth import TokenAuth

    return TokenAuth(auth.scheme, params, given, cache, whose)


def _explicit(credential: Credential | None) -> bool:
    """Whether a credential brings something of its own: that of a provider file may be all defaults."""
    return credential is not None and bool(credential.secrets or credential.settings)


def _fits(auth: Auth, credential: Credential | None) -> bool:
    """Whether a scheme can take what the credential gives; `compiler/checks/credentials` saw to one."""
    if credential is None or not _explicit(credential):
        return True
    return not (credential.secrets.keys() | credential.settings.keys()) - set(SLOTS[auth.scheme])
