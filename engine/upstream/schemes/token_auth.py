"""`Authorization: Bearer TOKEN`, with a token that a source gives and a lease keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.upstream.schemes.authenticator import NOTHING, Authenticator, Shown
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.schemes.entra import Entra
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.jwt_bearer import JwtBearer, KeyJwt
from engine.upstream.schemes.oauth2 import ClientCredentials, Params, Saml2Bearer, Source, TokenExchange
from engine.upstream.schemes.tokens import Lease
from engine.upstream.secrets import SecretValue

Make = Callable[[Params, Given, TokenCache], Source]

#: Scheme -> its source of tokens.
SOURCES: Final[dict[str, Make]] = {
    "oauth2_client_credentials": lambda params, given, cache: ClientCredentials(
        params, given, cache.errand, cache.clock
    ),
    "oauth2_jwt_bearer": lambda params, given, cache: JwtBearer(params, given, cache.errand, cache.clock),
    "saml2_bearer": lambda params, given, cache: Saml2Bearer(params, given, cache.errand, cache.clock),
    "token_exchange": lambda params, given, cache: TokenExchange(params, given, cache.errand, cache.clock),
    "azure_entra": lambda params, given, cache: Entra(params, given, cache.errand, cache.clock),
    "jwt_hs256": lambda params, given, cache: KeyJwt(params, given, cache.clock),
}


class TokenAuth(Authenticator):
    """A bearer token out of the cache."""

    waits = True
    header = "authorization"

    def __init__(self, scheme: str, params: Params, given: Given, cache: TokenCache, whose: str) -> None:
        self._source = SOURCES[scheme](params, given, cache)
        key = f"{scheme} {sorted(params.items())!r} {given.key}"
        self._lease: Lease[SecretValue] = cache.lease(
            key, lambda: Lease(self._source.fetch, whose, cache.clock)
        )
        self._value: SecretValue | None = None
        self._shown = NOTHING

    def there(self) -> str:
        """Which source the token will be had from. Raises SecretMissing."""
        return self._source.there()

    def ready(self) -> bool:
        """Whether a usable token is here; its renewal starts where that is due."""
        return self._lease.fresh()

    async def prepare(self) -> None:
        """Fetch the token, or wait for whoever does. Raises SecretMissing or AuthFailed."""
        await self._lease.get()

    def show(self) -> Shown:
        """The header with the token that is here."""
        value = self._lease.value()
        if value is not self._value:
            self._value = value
            self._shown = Shown(headers=(("authorization", f"Bearer {value.reveal()}"),))
        return self._shown

    def refused(self) -> None:
        """The next call gets a new token, unless this one is quite new."""
        self._lease.refused()
