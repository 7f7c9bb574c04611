"""Fetches an issuer's keys: from the address that the workspace names, from where the issuer says, or a file.

An address that the workspace names is the operator's word. One that the issuer's own metadata names is a
stranger's: it must be https (or the issuer itself be plain http, in a private network), and at another host
it must lie on the public internet, so that nobody is led to what only this machine can reach. Redirects are
never followed, answers are bounded in size and time, no credential is sent.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from engine.identity.key_set import MAX_BYTES, KeySet, KeySetFault, read_key_set
from engine.upstream.choice import default_transport
from engine.upstream.direct_transport import DirectTransport, connect_first
from engine.upstream.pool import Origin
from engine.upstream.protocol import HttpCall, Transport, TransportError
from engine.upstream.proxies import Proxies
from engine.upstream.public_address import is_public
from engine.version import VERSION

#: The whole of a fetch, discovery and all.
TIMEOUT_S: Final = 5.0
_CONNECT_MS: Final = 3_000
_HEADERS: Final = (("accept", "application/json"), ("user-agent", f"llm-runner-router/{VERSION} (keys)"))
_METADATA: Final = "/.well-known/openid-configuration"


class NotFetched(Exception):
    """An issuer's keys are not to be had now. The text says where and why."""


class Fetcher:
    """Fetches for all issuers of one process. root: the workspace, where relative `file:` paths start."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._transport: Transport | None = None
        self._public: Transport | None = None

    async def fetch(self, issuer: str, jwks: str | None) -> KeySet:
        """The keys now. Raises NotFetched."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if jwks is not None and jwks.startswith("file:"):
                    return await asyncio.to_thread(self._file, jwks.removeprefix("file:"))
                if jwks is not None:
                    return _read(jwks, await self._get(jwks, self._named()))
                return await self._discovered(issuer)
        except TimeoutError:
            raise NotFetched(f"{jwks or issuer} took over {TIMEOUT_S:.0f} seconds") from None

    async def close(self) -> None:
        """Close what connections there are."""
        for transport in (self._transport, self._public):
            if transport is not None:
                await transport.close()

    async def _discovered(self, issuer: str) -> KeySet:
        where = issuer.rstrip("/") + _METADATA
        said = _json(where, await self._get(where, self._named()))
        if not isinstance(said, dict) or said.get("issuer") != issuer:
            raise NotFetched(f"{where} speaks of another issuer than {issuer}")
        url = said.get("jwks_uri")
        if not isinstance(url, str) or not _allowed(url, issuer):
            raise NotFetched(f"{where} names no address of keys that may be called; write `jwks` yourself")
        same = urlsplit(url).hostname == urlsplit(issuer).hostname
        return _read(url, await self._get(url, self._named() if same else self._foreign()))

    async def _get(self, url: str, transport: Transport) -> bytes:
        try:
            reply = await transport.send(HttpCall("GET", url, _HEADERS, b"", _CONNECT_MS))
            try:
                if 300 <= reply.status < 400:
                    raise NotFetched(
                        f"{url} answers with a redirect, which is not followed; name where it leads"
                    )
                if reply.status != 200:
                    raise NotFetched(f"{url} answered {reply.status}")
                return await reply.read(MAX_BYTES)
            finally:
                await reply.close()
        except TransportError as error:
            raise NotFetched(f"{url}: {error}") from None

    def _named(self) -> Transport:
        if self._transport is None:
            self._transport = default_transport()
        return self._transport

    def _foreign(self) -> Transport:
        """To hosts of the public internet. Behind a proxy the names are the proxy's to resolve."""
        if Proxies.of_environment():
            return self._named()
        if self._public is None:
            self._public = DirectTransport(dial=_dial_public)
        return self._public

    def _file(self, name: str) -> KeySet:
        path = self._root / Path(name).expanduser()
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise NotFetched(f"{path} cannot be read: {error.strerror or error}") from None
        if len(data) > MAX_BYTES:
            raise NotFetched(f"{path} has more than {MAX_BYTES} bytes")
        return _read(str(path), data)


def _allowed(url: str, issuer: str) -> bool:
    """Whether an address that an issuer names may be called at all."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = "@" not in parts.netloc and url.isascii() and url.isprintable() and " " not in url
    ours = parts.scheme == "https" or (parts.scheme == "http" and issuer.startswith("http://"))
    return plain and ours and bool(parts.hostname)


async def _dial_public(loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
    """A socket to an address that was looked at; the name is not asked for again."""
    found = await loop.getaddrinfo(
        origin.host, origin.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    if not found or not all(is_public(str(each[4][0])) for each in found):
        raise TransportError("connect", "its address is not public; write `jwks` where it may be called")
    return await connect_first(loop, list(found))


def _json(where: str, data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NotFetched(f"{where} is no JSON") from None


def _read(where: str, data: bytes) -> KeySet:
    try:
        return read_key_set(_json(where, data))
    except KeySetFault as fault:
        raise NotFetched(f"{where} is no set of keys: {fault}") from None
