"""Tokens for a signed statement: OAuth 2's JWT bearer (RFC 7523), as Google's service accounts have it.

Sources, in order: the JSON document of a service account (or of a user, with a refresh token), a key with its
issuer, and, where the scheme names one, the metadata service of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from engine.upstream.schemes.answers import token_of
from engine.upstream.schemes.errand import METADATA_S, Errand
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.jwt import signed_hs256, signed_rs256
from engine.upstream.schemes.tokens import Clock, Fetched
from engine.upstream.secrets import SecretMissing, SecretValue

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S: Final = 3600


class JwtBearer:
    """A source of bearer tokens."""

    def __init__(self, params: Mapping[str, Any], given: Given, errand: Errand, clock: Clock) -> None:
        self._params = params
        self._given = given
        self._errand = errand
        self._clock = clock
        self._url = str(params["token_url"])

    def there(self) -> str:
        """What would be used, in words. Raises SecretMissing where nothing would."""
        given = self._given
        if given.document("service_account") is not None:
            return "a service account's document"
        if given.document("private_key") is not None:
            given.need("issuer")
            return "a private key"
        if self._metadata is not None:
            return "the machine's metadata service (not asked)"
        raise SecretMissing(given.lacks("service_account"))

    async def fetch(self) -> Fetched[SecretValue]:
        """A new token. Raises AuthFailed or SecretMissing."""
        given = self._given
        document = given.document("service_account")
        if document is not None:
            return await self._of_document(document)
        key = given.document("private_key")
        if key is not None:
            return await self._signed(key, given.need("issuer"), given.text("key_id"))
        if self._metadata is not None:
            return await self._of_metadata(self._metadata)
        raise SecretMissing(given.lacks("service_account"))

    @property
    def _metadata(self) -> str | None:
        """The metadata service: in place of a credential that nobody defined, never of one that is broken."""
        return None if self._given.explicit else self._params.get("metadata_url")

    async def _of_document(self, text: str) -> Fetched[SecretValue]:
        try:
            found = orjson.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise AuthFailed("auth", "the service account's document is no JSON object")
        match found.get("type"):
            case "service_account":
                self._check_host(found.get("token_uri"))
                return await self._signed(
                    _field(found, "private_key"), _field(found, "client_email"), found.get("private_key_id")
                )
            case "authorized_user":
                names = ("client_id", "client_secret", "refresh_token")
                form = {name: _field(found, name) for name in names}
                body = await self._errand.form(self._url, {"grant_type": "refresh_token", **form})
                return token_of(body, self._clock(), "the token endpoint")
        raise AuthFailed(
            "auth", "the document is neither a service account's nor a user's (`type` says something else)"
        )

    def _check_host(self, named: Any) -> None:
        """A document may not send the statement anywhere but where the scheme says."""
        if isinstance(named, str) and urlsplit(named).hostname != urlsplit(self._url).hostname:
            raise AuthFailed(
                "auth",
                "the service account's document names another token endpoint than the provider file: "
                "write it as `token_url` if it is right",
            )

    async def _signed(self, key: str, issuer: str, key_id: Any) -> Fetched[SecretValue]:
        params, now = self._params, int(self._clock())
        claims: dict[str, Any] = {
            "iat": now,
            "exp": now + _LIFETIME_S,
            "iss": issuer,
            "aud": params.get("audience") or self._url,
        }
        if params.get("scope"):
            claims["scope"] = params["scope"]
        subject = self._given.text("subject")
        if subject is not None:
            claims["sub"] = subject
        statement = signed_rs256(claims, key, {"kid": key_id} if isinstance(key_id, str) else None)
        body = await self._errand.form(self._url, {"grant_type": JWT_BEARER, "assertion": statement})
        return token_of(body, self._clock(), "the token endpoint")

    async def _of_metadata(self, url: str) -> Fetched[SecretValue]:
        whom = "the metadata service"
        scope = self._params.get("scope")
        if scope:
            url += f"?scopes={quote(','.join(str(scope).split()), safe=',:/')}"
        headers = tuple((self._params.get("metadata_headers") or {}).items())
        body = await self._errand.json("GET", url, headers, whom=whom, seconds=METADATA_S)
        return token_of(body, self._clock(), whom)


class KeyJwt:
    """A token that we sign with the second half of the key, asking nobody (old Zhipu keys).

    The key is `ID.SECRET`. The token's claims: the id, when it was made and when it ends, and fixed ones.
    """

    def __init__(self, params: Mapping[str, Any], given: Given, clock: Clock) -> None:
        self._params = params
        self._given = given
        self._clock = clock

    def there(self) -> str:
        """What would be used, in words. Raises SecretMissing where nothing would."""
        self._halves()
        return "a key that signs"

    async def fetch(self) -> Fetched[SecretValue]:
        """A new token. Raises SecretMissing."""
        params, now = self._params, self._clock()
        name, key = self._halves()
        ends = now + params.get("lifetime", 180_000) / 1000
        factor = 1000 if params.get("unit") == "ms" else 1
        claims: dict[str, Any] = {
            **(params.get("claims") or {}),
            params.get("id_claim", "iss"): name,
            params.get("issued_claim", "iat"): int(now * factor),
            "exp": int(ends * factor),
        }
        token = signed_hs256(claims, key.encode(), params.get("header"))
        return Fetched(SecretValue(token), ends)

    def _halves(self) -> tuple[str, str]:
        name, dot, key = self._given.need("secret").partition(".")
        if not dot or not name or not key:
            raise SecretMissing("the key has not the form ID.SECRET")
        return name, key


def _field(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise AuthFailed("auth", f"the service account's document has no `{name}`")
    return value
