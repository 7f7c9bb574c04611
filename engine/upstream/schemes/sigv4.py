"""Signature version 4 of AWS, for requests with their parameters in the headers. Pure: no clock, no I/O.

As botocore's `SigV4Auth` signs, byte for byte (a test compares them): dot segments and empty segments of the
path are removed, the path is escaped once more than it stands in the URL, the query is sorted as it stands,
and the body is always hashed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

Headers = tuple[tuple[str, str], ...]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PORTS: Final = {"http": 80, "https": 443}
#: Headers that proxies change, or that stand for one hop.
_UNSIGNED: Final = frozenset({
    "baggage", "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id",
})  # fmt: skip
#: What a signature puts there itself: an earlier one is replaced.
_OWN: Final = frozenset({"authorization", "x-amz-date", "x-amz-security-token", "date"})


@dataclass(frozen=True, slots=True, repr=False)
class AwsKeys:
    """An access key with its secret, and the token of a session where they are of one."""

    access: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(***)"


class Signer:
    """Signs for one service in one region. The key of the day is derived once."""

    def __init__(self, service: str, region: str) -> None:
        self.service = service
        self.region = region
        self._derived: tuple[str, str, bytes] | None = None  # day, secret, key

    def sign(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        keys: AwsKeys,
        now: float,
    ) -> Headers:
        """The headers to send: those given, with date, session token and `authorization`.

        now: seconds since 1970. Names of `headers` are in lower case; `host` is added only to what is signed.
        """
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        sent = [(name, value) for name, value in headers if name.lower() not in _OWN]
        sent.append(("x-amz-date", moment))
        if keys.token:
            sent.append(("x-amz-security-token", keys.token))
        names, lines = _canonical_headers(url, sent)
        parts = urlsplit(url)
        request = "\n".join((
            method.upper(), _path(parts.path), _query(parts.query), lines, "", names,
            sha256(body).hexdigest(),
        ))  # fmt: skip
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        text = "\n".join((_ALGORITHM, moment, scope, sha256(request.encode()).hexdigest()))
        signature = hmac.digest(self._key(moment[:8], keys.secret), text.encode(), "sha256").hex()
        shown = f"{_ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
        return (*sent, ("authorization", shown))

    def _key(self, day: str, secret: str) -> bytes:
        known = self._derived
        if known is not None and known[0] == day and known[1] == secret:
            return known[2]
        key = f"AWS4{secret}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._derived = (day, secret, key)
        return key


def _canonical_headers(url: str, headers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Their names, joined by semicolons, and their lines."""
    signed: dict[str, list[str]] = {}
    for name, value in headers:
        name = name.lower()
        if name not in _UNSIGNED:
            signed.setdefault(name, []).append(" ".join(value.split()))
    if "host" not in signed:
        signed["host"] = [_host(url)]
    names = sorted(signed)
    return ";".join(names), "\n".join(f"{name}:{','.join(signed[name])}" for name in names)


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _path(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    slash = "/" if path.endswith("/") and kept else ""
    return quote(("/" if path.startswith("/") or not path else "") + "/".join(kept) + slash, safe="/~")


def _query(query: str) -> str:
    pairs = sorted((name, value) for name, _, value in (pair.partition("=") for pair in query.split("&")))
    return "&".join(f"{name}={value}" for name, value in pairs) if query else ""
