"""Fetches what a client's request names by URL, for vendors that take data only. A client chooses it, so:

- only hosts that the workspace allows (`media.fetch` of engine.yaml), only https unless it says otherwise,
  only the scheme's own port, no user names;
- a name is resolved once, every address it has must be public, and the connection goes to that very address:
  a name that changes its mind between check and call gains nothing;
- a redirect is a new URL, and judged as one; three at most;
- no credential, no cookie, no proxy; size and time are bounded; the bytes must be what they are said to be.

What a refused address would have answered is never told, only that it may not be fetched.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from engine.plan.types import MediaFetch
from engine.upstream.direct_transport import DirectTransport, connect_first
from engine.upstream.media_type import media_type
from engine.upstream.pool import Origin
from engine.upstream.protocol import HttpCall, TransportError
from engine.upstream.public_address import is_public
from engine.version import VERSION

#: Redirects that are followed.
HOPS: Final = 3
#: Longest URL.
URL_CAP: Final = 4096
_CONNECT_MS: Final = 5_000
_PORTS: Final = {"https": 443, "http": 80}
_FORBIDDEN: Final = frozenset('\\ "<>^`{|}')
_HEADERS: Final = (("accept", "*/*"), ("user-agent", f"llm-runner-router/{VERSION} (media)"))

Addresses = list[tuple[Any, ...]]
Resolve = Callable[[str, int], Awaitable[Addresses]]


class NotFetchedError(Exception):
    """What the URL names is not to be had. The message is for the client."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was there."""

    data: bytes
    media_type: str


class MediaFetcher:
    """Fetches for one workspace.

    rules: what it allows. The rest is for tests on loopback, and for them alone. resolve: like `getaddrinfo`.
    public: which addresses may be called. any_port: a URL may name another port. context: whom TLS trusts.
    """

    def __init__(
        self,
        rules: MediaFetch,
        *,
        resolve: Resolve | None = None,
        public: Callable[[str], bool] = is_public,
        any_port: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._resolve = resolve or _resolve
        self._public = public
        self._any_port = any_port
        self._transport = DirectTransport(context, dial=self._dial)

    async def fetch(self, url: str, cap: int, *, image: bool, said: str | None = None) -> Fetched:
        """The data at a URL.

        Args:
            url: as the client wrote it.
            cap: most bytes of it.
            image: it must be an image; else a document.
            said: the media type that the client says it has, for what cannot be told by its bytes.

        Raises:
            NotFetchedError: it may not be fetched, or is not there, or is too large, or something else.
        """
        try:
            async with asyncio.timeout(self._rules.timeout_ms / 1000):
                return await self._followed(url, cap, image=image, said=said)
        except TimeoutError:
            raise NotFetchedError(f"{_host(url)} did not give it in time") from None

    async def close(self) -> None:
        """Close what connections there are."""
        await self._transport.close()

    async def _followed(self, url: str, cap: int, *, image: bool, said: str | None) -> Fetched:
        for _ in range(HOPS + 1):
            host = self._judged(url)
            try:
                reply = await self._transport.send(HttpCall("GET", url, _HEADERS, b"", _CONNECT_MS))
                try:
                    moved = reply.headers.get("location") if 300 <= reply.status < 400 else None
                    if moved is None:
                        if reply.status != 200:
                            raise NotFetchedError(f"{host} answered {reply.status}")
                        return _checked(await reply.read(cap), reply.headers, image=image, said=said)
                finally:
                    await reply.close()
            except _RefusedError:
                raise NotFetchedError(f"{host} may not be fetched from: its address is not public") from None
            except TransportError as error:
                too_long = error.failure == "server" and "longer" in str(error)
                why = f"gave more than {cap} bytes" if too_long else "could not be reached"
                raise NotFetchedError(f"{host} {why}") from None
            url = urljoin(url, moved)
        raise NotFetchedError(f"{_host(url)} was reached over more than {HOPS} redirects")

    def _judged(self, url: str) -> str:
        """The host of a URL that may be fetched. Raises NotFetchedError."""
        parts = _parts(url)
        if parts is None:
            raise NotFetchedError("its address is not a plain URL")
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme != "https" and not self._rules.http:
            raise NotFetchedError(f"{host} may not be fetched from: only https is")
        if not self._any_port and parts.port not in (None, _PORTS[parts.scheme]):
            raise NotFetchedError(f"{host} may not be fetched from: the URL names a port")
        if not any(_matches(host, each) for each in self._rules.hosts):
            raise NotFetchedError(
                f"{host} may not be fetched from: `media.fetch` of engine.yaml does not name it"
            )
        return host

    async def _dial(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
        """A socket to an address that was looked at. The name is not asked for again."""
        found = await self._resolve(origin.host, origin.port)
        if not found or not all(self._public(str(each[4][0])) for each in found):
            raise _RefusedError
        return await connect_first(loop, found)


class _RefusedError(TransportError):
    """A name with an address that may not be called."""

    def __init__(self) -> None:
        super().__init__("connect", "the address is not public")


async def _resolve(host: str, port: int) -> Addresses:
    loop = asyncio.get_running_loop()
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP))


def _parts(url: str) -> SplitResult | None:
    """The parts of a plain http(s) URL; None of anything that two readers could read differently."""
    if len(url) > URL_CAP or not url.isascii() or not url.isprintable() or not _FORBIDDEN.isdisjoint(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc else None


def _host(url: str) -> str:
    parts = _parts(url)
    return "the address" if parts is None else str(parts.hostname)


def _matches(host: str, pattern: str) -> bool:
    """Whether a host is one that the workspace names: itself, `*.below` or `*`."""
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _checked(data: bytes, headers: Any, *, image: bool, said: str | None) -> Fetched:
    """The data as what it is. Raises NotFetchedError where that is not what was asked for."""
    declared = headers.get("content-type", "").partition(";")[0].strip().lower()
    found = media_type(data, declared, said, image=image)
    if found is None:
        what = "an image (png, jpeg, gif or webp)" if image else "a document"
        raise NotFetchedError(f"what lies there is not {what}: {declared[:60] or 'no media type'}")
    return Fetched(data, found)
