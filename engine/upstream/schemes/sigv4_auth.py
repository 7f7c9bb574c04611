"""Requests signed with AWS keys, wherever the keys come from.

Where they are to be had is decided at each call (variables and two `stat`s), so that changed keys are used
from the next call on; keys that have to be fetched are leased like tokens.
"""

from __future__ import annotations

from engine.upstream.schemes.authenticator import Authenticator, Headers
from engine.upstream.schemes.aws_keys import KeyFetcher
from engine.upstream.schemes.aws_profiles import Profiles
from engine.upstream.schemes.aws_sources import KeySource, Static, find, told
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.oauth2 import Params
from engine.upstream.schemes.sigv4 import AwsKeys, Signer
from engine.upstream.schemes.tokens import Fetched, Lease
from engine.upstream.secrets import SecretMissing, Secrets


class SigV4Auth(Authenticator):
    """A signature in `authorization`."""

    waits = True
    signs = True
    header = "authorization"

    def __init__(self, params: Params, given: Given, secrets: Secrets, cache: TokenCache, whose: str) -> None:
        region = params.get("region")
        self._region = str(region) if region else None
        self._given = given
        self._profiles = Profiles(given.env)
        self._clock = cache.clock
        self._cache = cache
        self._secrets = secrets
        self._sts_url = params.get("sts_url")
        self._whose = whose
        self._signer = Signer(str(params["service"]), self._region or "")
        self._source: KeySource | None = None
        self._lease: Lease[AwsKeys] | None = None
        self._keys: AwsKeys | None = None

    def there(self) -> str:
        """Which source the keys will be had from. Raises SecretMissing."""
        self._check_region()
        return told(find(self._given, self._profiles))

    def ready(self) -> bool:
        """Whether keys are here; leased ones are renewed where that is due. Raises SecretMissing."""
        self._check_region()
        source = find(self._given, self._profiles)
        if isinstance(source, Static):
            self._keys, self._lease, self._source = source.keys, None, None
            return True
        if source != self._source or self._lease is None:
            self._lease, self._source = self._leased(source), source
        if not self._lease.fresh():
            return False
        self._keys = self._lease.value()
        return True

    async def prepare(self) -> None:
        """Fetch the keys, or wait for whoever does. Raises SecretMissing or AuthFailed."""
        if self._lease is not None:
            lease = self._lease
            await lease.get()
            self._keys = lease.value()

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers given, with date, session token and signature."""
        assert self._keys is not None, "asked to sign before it was prepared"
        return self._signer.sign(method, url, headers, body, self._keys, self._clock())

    def refused(self) -> None:
        """The next call gets new keys, where they are leased and these are not quite new."""
        if self._lease is not None:
            self._lease.refused()

    def _leased(self, source: KeySource) -> Lease[AwsKeys]:
        """The lease of a source. Deployments in one region share it; its name holds no key."""
        fetcher = KeyFetcher(
            self._cache.errand, self._secrets, self._region or "", self._sts_url, self._cache.clock
        )

        async def fetch() -> Fetched[AwsKeys]:
            return await fetcher.fetch(source)

        # AwsKeys print as ***: equal names could stand for different keys, so that hash tells them apart.
        key = f"aws {self._region} {self._sts_url} {source!r} {hash(source)}"
        return self._cache.lease(key, lambda: Lease(fetch, self._whose, self._cache.clock))

    def _check_region(self) -> None:
        if self._region is None:
            raise SecretMissing("no AWS region: set `region` on the deployment")
