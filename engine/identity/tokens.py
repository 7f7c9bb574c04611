"""Tokens of identity providers as identities: a `Source` of the server's.

A token that was found good is remembered, by the SHA-256 of all of it, until it ends, a key of its issuer is
taken out, or its issuer's rules change; so signatures are checked once for each token. What is no good is not
remembered: whoever sends it pays for it each time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.errors import RequestError
from engine.identity.claims import key_of
from engine.identity.fetch import Fetcher
from engine.identity.issuer_keys import Fetch, IssuerKeys
from engine.identity.key_set import KeySet
from engine.identity.token import Token, looks_like_one, read_token
from engine.identity.verify import Refused, UnknownKey, verified
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.identity import Issuer
from engine.plan.people import People
from engine.runtime.views import Key

#: Good tokens that are remembered.
KNOWN: Final = 10_000
#: The result, beside the reasons of `Refused`.
_GOOD: Final = "good"


class LibraryMissing(Exception):
    """Tokens are to be taken, and what checks them is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "keys.jwt: tokens are checked by PyJWT and cryptography, which are not installed; run "
            "pip install 'llm-runner-router[auth]'"
        )


class Known(NamedTuple):
    """A token that is good. until: epoch seconds. keys: those of its issuer."""

    key: Key
    until: float
    keys: IssuerKeys


class _Rules(NamedTuple):
    issuer: Issuer
    keys: IssuerKeys
    people: People


class Tokens:
    """One process's. `prepare` and `live` follow plans; between them both plans' issuers are known.

    now: epoch seconds. ticks: seconds of a clock that only goes forward. fetch: how an issuer's keys are had;
    for tests, None: over the network.
    """

    def __init__(
        self,
        root: Path,
        log: Log,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        fetch: Callable[[str, str | None], Fetch] | None = None,
    ) -> None:
        self._log = log
        self._now = now
        self._ticks = ticks
        self._fetcher = Fetcher(root)
        self._fetch = fetch or (lambda issuer, jwks: lambda: self._fetcher.fetch(issuer, jwks))
        self._rules: dict[str, _Rules] = {}
        self._keys: dict[tuple[str, str | None], IssuerKeys] = {}
        self._known: dict[bytes, Known] = {}
        self._counts: dict[tuple[str, str], int] = {}
        metrics.counter(
            "engine_tokens",
            "Tokens of identity providers whose signature or claims were looked at, by what came of it. One "
            "that was good is remembered and not looked at again.",
            ("issuer", "result"),
            lambda: [(labels, float(count)) for labels, count in self._counts.items()],
        )
        metrics.gauge(
            "engine_issuer_keys_age_seconds",
            "How long ago an identity provider's keys were fetched.",
            ("issuer",),
            self._ages,
            "max",
        )

    def __bool__(self) -> bool:
        return bool(self._rules)

    # --- plans ------------------------------------------------------------------------------------------

    def prepare(self, people: People) -> None:
        """A plan may run soon: begin to fetch what it needs. Raises LibraryMissing."""
        if people.issuers:
            try:
                import cryptography  # noqa: F401 - looked for; deferred, as only these plans need it
                import jwt  # noqa: F401
            except ImportError:
                raise LibraryMissing from None
        for issuer in people.issuers:
            self._keys_of(issuer).start()

    def live(self, people: People) -> None:
        """This plan runs: its issuers count, and no others."""
        rules = {issuer.issuer: _Rules(issuer, self._keys_of(issuer), people) for issuer in people.issuers}
        for rule in rules.values():
            rule.keys.refresh_s = rule.issuer.refresh_ms / 1000
            rule.keys.keep_s = rule.issuer.keep_ms / 1000
            rule.keys.start()
        self._rules = rules
        self._known.clear()  # by these rules each is looked at anew
        wanted = {(issuer.issuer, issuer.jwks) for issuer in people.issuers}
        for gone in [name for name in self._keys if name not in wanted]:
            self._keys.pop(gone).stop()

    async def close(self) -> None:
        for keys in self._keys.values():
            await keys.close()
        await self._fetcher.close()

    def _keys_of(self, issuer: Issuer) -> IssuerKeys:
        place = (issuer.issuer, issuer.jwks)
        found = self._keys.get(place)
        if found is None:
            found = self._keys[place] = IssuerKeys(
                issuer.name,
                self._fetch(issuer.issuer, issuer.jwks),
                refresh_s=issuer.refresh_ms / 1000,
                keep_s=issuer.keep_ms / 1000,
                now=self._ticks,
                log=self._log,
                changed=self._known.clear,
            )
        return found

    # --- requests ---------------------------------------------------------------------------------------

    def find(
        self, shown: bytes, head: Mapping[bytes, bytes], scope: Mapping[str, Any]
    ) -> Key | Awaitable[Key | None] | None:
        """Whose token this is; None: nobody's.

        Raises:
            RequestError: 403, somebody's who has no place here; 503, its issuer's keys are not to be had.
        """
        if not looks_like_one(shown):
            return None
        name = hashlib.sha256(shown).digest()
        known = self._known.get(name)
        if known is not None and self._now() < known.until and known.keys.keys is not None:
            return known.key
        token = read_token(shown)
        if token is None:
            return None
        issuer = token.claims.get("iss")
        rules = self._rules.get(issuer) if isinstance(issuer, str) else None
        if rules is None:
            return None
        keys = rules.keys.keys
        if keys is None:
            return self._later(name, token, rules)
        try:
            return self._good(name, token, rules, keys)
        except Refused as refused:
            if isinstance(refused, UnknownKey) and rules.keys.may_ask():
                return self._later(name, token, rules)
            self._count(rules, refused.why)
            return None

    async def _later(self, name: bytes, token: Token, rules: _Rules) -> Key | None:
        """Once its issuer's keys were fetched."""
        if rules.keys.may_ask():
            await rules.keys.ask()
        keys = rules.keys.keys
        if keys is None:
            self._count(rules, "no_keys")
            raise RequestError(
                f"the keys of the identity provider `{rules.issuer.name}` cannot be had at present, so no "
                "token of it can be checked",
                status=503,
                code="identity_unavailable",
            )
        try:
            return self._good(name, token, rules, keys)
        except Refused as refused:
            self._count(rules, refused.why)
            return None

    def _good(self, name: bytes, token: Token, rules: _Rules, keys: KeySet) -> Key:
        """Raises Refused, RequestError (403)."""
        claims, until = verified(token, rules.issuer, keys, self._now())
        key = key_of(claims, rules.issuer, rules.people)
        self._count(rules, _GOOD)
        while len(self._known) >= KNOWN:
            del self._known[next(iter(self._known))]
        self._known[name] = Known(key, until, rules.keys)
        return key

    # --- figures ----------------------------------------------------------------------------------------

    def told(self) -> dict[str, dict[str, object]]:
        """Name -> `keys` that are good now, and why they are not fetched (`failing`)."""
        return {
            rules.issuer.name: {
                "keys": 0 if rules.keys.keys is None else len(rules.keys.keys),
                "failing": rules.keys.failing,
            }
            for rules in self._rules.values()
        }

    def _count(self, rules: _Rules, result: str) -> None:
        labels = (rules.issuer.name, result)
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def _ages(self) -> Iterable[tuple[tuple[str, ...], float]]:
        now = self._ticks()
        ages = ((keys.name, keys.fetched_at) for keys in self._keys.values())
        return [((name,), now - at) for name, at in ages if at is not None]
