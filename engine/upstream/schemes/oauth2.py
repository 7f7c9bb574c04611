"""Tokens by a form: client credentials, a SAML assertion, a key exchanged for a token.

Each source is made of the scheme's fields (`params`, as the provider file has them, templates filled in) and
what the credential gives. `there` says where it would come from without asking anybody; `fetch` gets one.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from engine.plan.values import Json
from engine.upstream.schemes.answers import token_of
from engine.upstream.schemes.errand import Errand, Headers, basic
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.jwt import b64url
from engine.upstream.schemes.tokens import Clock, Fetched
from engine.upstream.secrets import SecretMissing, SecretValue

#: A scheme's fields as the plan has them, templates filled in.
Params = Mapping[str, Any]

SAML2_BEARER: Final = "urn:ietf:params:oauth:grant-type:saml2-bearer"


class Source(Protocol):
    """Where a bearer token comes from."""

    def there(self) -> str:
        """What would be used, in words. Raises SecretMissing where nothing would."""
        ...

    async def fetch(self) -> Fetched[SecretValue]:
        """A new token. Raises AuthFailed or SecretMissing."""
        ...


class _Form:
    """What the form schemes share."""

    def __init__(self, params: Params, given: Given, errand: Errand, clock: Clock) -> None:
        self.params = params
        self.given = given
        self.errand = errand
        self.clock = clock
        self.url = str(params["token_url"])

    async def ask(self, fields: Mapping[str, str], headers: Headers = ()) -> Fetched[SecretValue]:
        extra = self.params.get("form") or {}
        scope = self.params.get("scope")
        form = {**fields, **({"scope": scope} if scope else {}), **extra}
        body = await self.errand.form(self.url, form, headers)
        return token_of(body, self.clock(), "the token endpoint")

    def client(self, *, needed: bool) -> tuple[dict[str, str], Headers]:
        """The client's own credential: as fields, or as a header."""
        given = self.given
        user = given.need("client_id") if needed else given.text("client_id")
        password = given.need("client_secret") if needed else given.text("client_secret")
        if user is None:
            return {}, ()
        if password is None:
            return {"client_id": user}, ()
        if self.params.get("send", "basic") == "basic":
            return {}, (basic(user, password),)
        return {"client_id": user, "client_secret": password}, ()


class ClientCredentials(_Form):
    """OAuth 2 client credentials (RFC 6749, 4.4)."""

    def there(self) -> str:
        self.client(needed=True)
        return "client credentials"

    async def fetch(self) -> Fetched[SecretValue]:
        fields, headers = self.client(needed=True)
        return await self.ask({"grant_type": "client_credentials", **fields}, headers)


class Saml2Bearer(_Form):
    """A SAML 2.0 assertion for a token (RFC 7522). The assertion is XML, or XML in Base64."""

    def there(self) -> str:
        self._assertion()
        return "a SAML assertion"

    async def fetch(self) -> Fetched[SecretValue]:
        fields, headers = self.client(needed=False)
        return await self.ask({"grant_type": SAML2_BEARER, "assertion": self._assertion(), **fields}, headers)

    def _assertion(self) -> str:
        """Read anew for each token: whoever writes the file renews it. In Base64 for URLs, as 2.1 asks."""
        text = self.given.document("assertion")
        if text is None:
            raise SecretMissing(self.given.lacks("assertion"))
        if text.startswith("<"):
            return b64url(text.encode())
        compact = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
        try:
            xml = b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        except BadBase64:
            raise SecretMissing("the SAML assertion is neither XML nor Base64") from None
        return b64url(xml)


class TokenExchange(_Form):
    """A long-lived key for a short-lived token: a form or a JSON body with the key in one field.

    IBM's IAM and RFC 8693 are this with other fields.
    """

    def there(self) -> str:
        self.given.need("secret")
        return "a key to exchange"

    async def fetch(self) -> Fetched[SecretValue]:
        params = self.params
        key = self.given.need("secret")
        fields, headers = self.client(needed=False)
        form: dict[str, Json] = {**(params.get("form") or {}), str(params["secret_field"]): key, **fields}
        if params.get("body") == "json":
            sent = (("content-type", "application/json"), *headers)
            body = await self.errand.json(
                "POST", self.url, sent, orjson.dumps(form), whom="the token endpoint"
            )
        else:
            texts = {name: str(value) for name, value in form.items()}
            body = await self.errand.form(self.url, texts, headers)
        lifetime = params.get("lifetime")
        return token_of(
            body,
            self.clock(),
            "the token endpoint",
            token=str(params.get("token", "access_token")),
            expires_in=str(params.get("expires_in", "expires_in")),
            expires_at=params.get("expires_at"),
            lifetime=None if lifetime is None else lifetime / 1000,
        )
