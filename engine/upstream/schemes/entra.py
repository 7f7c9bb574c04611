"""Tokens of Microsoft Entra ID: for a client's secret, certificate or federated token, or by the machine.

Sources, in the order of Azure's own tools: a client secret, a certificate, a federated token's file (workload
identity), the machine's managed identity (App Service's endpoint where its variables are set, else the
instance's metadata service).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from engine.upstream.schemes.answers import token_of
from engine.upstream.schemes.errand import METADATA_S, Errand, is_own_machine
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.jwt import certificate, signed_ps256
from engine.upstream.schemes.tokens import Clock, Fetched
from engine.upstream.secrets import SecretMissing, SecretValue

JWT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_INSTANCE: Final = "http://169.254.169.254/metadata/identity/oauth2/token"
_ASSERTION_S: Final = 600


class Entra:
    """A source of bearer tokens."""

    def __init__(self, params: Mapping[str, Any], given: Given, errand: Errand, clock: Clock) -> None:
        self._params = params
        self._given = given
        self._errand = errand
        self._clock = clock
        self._authority = str(params.get("authority", "https://login.microsoftonline.com")).rstrip("/")
        self._scope = str(params["scope"])

    def there(self) -> str:
        """What would be used, in words. Raises SecretMissing where nothing would."""
        given = self._given
        for slot, name in _SOURCES:
            if given.document(slot) is not None:
                self._token_url()
                given.need("client_id")
                return name
        if self._managed:
            return "the machine's managed identity (not asked)"
        raise SecretMissing(given.lacks("client_secret", "certificate", "token_file"))

    async def fetch(self) -> Fetched[SecretValue]:
        """A new token. Raises AuthFailed or SecretMissing."""
        given = self._given
        if (secret := given.text("client_secret")) is not None:
            return await self._ask({"client_secret": secret})
        if (pem := given.document("certificate")) is not None:
            return await self._ask(_asserted(self._statement(pem)))
        if (token := given.document("token_file")) is not None:
            return await self._ask(_asserted(token))
        if self._managed:
            return await self._by_machine()
        raise SecretMissing(given.lacks("client_secret", "certificate", "token_file"))

    @property
    def _managed(self) -> bool:
        """A credential that names a client alone means that user-assigned identity."""
        return bool(self._params.get("managed_identity", True))

    def _token_url(self) -> str:
        tenant = self._given.text("tenant") or self._params.get("tenant")
        if not tenant:
            raise SecretMissing(self._given.lacks("tenant"))
        return f"{self._authority}/{quote(str(tenant), safe='')}/oauth2/v2.0/token"

    async def _ask(self, proof: Mapping[str, str]) -> Fetched[SecretValue]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._given.need("client_id"),
            "scope": self._scope,
            **proof,
        }
        body = await self._errand.form(self._token_url(), form)
        return token_of(body, self._clock(), "the token endpoint")

    def _statement(self, pem: str) -> str:
        """The client's own statement of who it is, signed with its certificate's key."""
        client, now = self._given.need("client_id"), int(self._clock())
        shown = certificate(pem)
        claims = {
            "aud": self._token_url(),
            "iss": client,
            "sub": client,
            "iat": now,
            "nbf": now,
            "exp": now + _ASSERTION_S,
            "jti": str(uuid.uuid4()),
        }
        return signed_ps256(claims, pem, {"x5t#S256": shown.thumbprint, "x5c": list(shown.chain)})

    async def _by_machine(self) -> Fetched[SecretValue]:
        whom = "the machine's identity service"
        env = self._given.env
        query = {"resource": self._scope.removesuffix("/.default")}
        client = self._given.text("client_id")
        if client is not None:
            query["client_id"] = client
        endpoint, header = env.get("IDENTITY_ENDPOINT", ""), env.get("IDENTITY_HEADER", "")
        if endpoint and header:
            if not is_own_machine(urlsplit(endpoint).hostname or ""):
                raise AuthFailed("auth", "IDENTITY_ENDPOINT is no address of this machine")
            url = f"{endpoint}?{urlencode({'api-version': '2019-08-01', **query})}"
            headers = (("x-identity-header", header),)
        else:
            url = f"{_INSTANCE}?{urlencode({'api-version': '2018-02-01', **query})}"
            headers = (("metadata", "true"),)
        body = await self._errand.json("GET", url, headers, whom=whom, seconds=METADATA_S * 5)
        return token_of(body, self._clock(), whom, expires_at="expires_on")


_SOURCES: Final = (
    ("client_secret", "a client secret"),
    ("certificate", "a certificate"),
    ("token_file", "a federated token"),
)


def _asserted(statement: str) -> dict[str, str]:
    return {"client_assertion_type": JWT_ASSERTION, "client_assertion": statement}
