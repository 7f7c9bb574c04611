"""How a call shows its credential: one small function per scheme, in a table.

A scheme gets the provider's `auth` fields and the credential's secrets and says which headers and query
parameters a call carries. A credential is only ever joined with the base URL that the plan holds for its own
deployment, so it goes to no other host. Fields of a scheme: `header: {name, prefix}`, `query: {name}`; the
secret's slot is always `secret`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from engine.plan.types import Auth, Credential, Json
from engine.upstream.secrets import SecretMissing, Secrets, SecretValue

#: Where the one secret of the simple schemes stands in `Credential.secrets`.
SLOT: Final = "secret"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a call carries to show its credential. `query` is ready to be appended to a URL."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""

    def __repr__(self) -> str:
        return "Shown(***)"


Scheme = Callable[[Mapping[str, Json], SecretValue], Shown]


def _bearer(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    return Shown(headers=(("authorization", f"Bearer {secret.reveal()}"),))


def _header(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    prefix = params.get("prefix", "")
    return Shown(headers=((str(params["name"]).lower(), f"{prefix}{secret.reveal()}"),))


def _query(params: Mapping[str, Json], secret: SecretValue) -> Shown:
    return Shown(query=f"{quote(str(params['name']), safe='')}={quote(secret.reveal(), safe='')}")


#: The schemes that execute, besides `none`.
SCHEMES: Final[Mapping[str, Scheme]] = {"bearer": _bearer, "header": _header, "query": _query}


class Authenticator:
    """Shows one deployment's credential, read again at every call but rendered only when it has changed."""

    def __init__(self, auth: Auth, credential: Credential | None, secrets: Secrets) -> None:
        self._auth = auth
        self._places = () if credential is None else credential.secrets.get(SLOT, ())
        self._secrets = secrets
        self._value: SecretValue | None = None
        self._shown = Shown()
        #: The header that carries the credential; None where none does.
        self.header: str | None = {"bearer": "authorization", "header": str(auth.params.get("name"))}.get(
            auth.scheme
        )
        #: The query parameter that does, as it stands in a URL.
        self.parameter = quote(str(auth.params["name"]), safe="") if auth.scheme == "query" else None

    def show(self) -> Shown:
        """What the next call carries; the same object for as long as the secret is the same.

        Raises:
            SecretMissing: the secret cannot be read now.
        """
        if self._auth.scheme == "none":
            return self._shown
        if not self._places:
            raise SecretMissing("no credential: set `credentials` on the deployment")
        value = self._secrets.first(self._places)
        if value != self._value:
            self._shown = SCHEMES[self._auth.scheme](self._auth.params, value)
            self._value = value
        return self._shown
