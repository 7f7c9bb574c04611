"""Calls for tokens: over the transport of all calls, within narrow bounds.

They go to https, or over http to the very addresses where a machine's own metadata service stands. Redirects
are not followed, answers are short and must be JSON where JSON is due, and no word of an answer reaches an
error but codes of a known form, so that a server that echoes what it was sent tells nobody.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import orjson

from engine.upstream.protocol import HttpCall, HttpReply, Transport, TransportError
from engine.upstream.schemes.failed import AuthFailed
from engine.version import VERSION

#: Most bytes of an answer. Tokens of large directories have some KiB.
ANSWER_CAP: Final = 128 << 10
CALL_S: Final = 15.0
#: A metadata service answers at once or is not there.
METADATA_S: Final = 2.0

#: Metadata services that are not link-local by their address: those of EC2 and EKS over IPv6.
_METADATA: Final = frozenset({"fd00:ec2::254", "fd00:ec2::23"})

_OAUTH_CODE: Final = re.compile(r"[a-z_]{3,40}")
_ENTRA_CODE: Final = re.compile(r"\bAADSTS[0-9]{4,8}\b")

Headers = Sequence[tuple[str, str]]


class Errand:
    """Fetches tokens. Every method raises AuthFailed."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def form(
        self, url: str, fields: Mapping[str, str], headers: Headers = (), *, whom: str = "the token endpoint"
    ) -> dict[str, Any]:
        """POST a form; the JSON object of a 2xx answer."""
        sent = (("content-type", "application/x-www-form-urlencoded"), *headers)
        status, data = await self.send("POST", url, sent, urlencode(fields).encode(), whom=whom)
        return parsed(accepted(status, data, whom), whom)

    async def json(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes = b"",
        *,
        whom: str,
        seconds: float = CALL_S,
    ) -> dict[str, Any]:
        """Any other call; the JSON object of a 2xx answer."""
        status, data = await self.send(method, url, headers, body, whom=whom, seconds=seconds)
        return parsed(accepted(status, data, whom), whom)

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes = b"",
        *,
        whom: str,
        seconds: float = CALL_S,
    ) -> tuple[int, bytes]:
        """Status and body. A redirect is an error."""
        if not may_carry(url):
            raise AuthFailed("auth", f"{whom}: credentials go to https addresses only")
        sent = (("accept", "application/json"), ("user-agent", f"llm-runner-router/{VERSION}"), *headers)
        call = HttpCall(method, url, sent, body, round(seconds * 1000))
        try:
            async with asyncio.timeout(seconds):
                reply = await self._transport.send(call)
                status, data = await _read(reply)
        except TransportError as error:
            failure = error.failure if error.failure in ("connect", "timeout") else "server"
            raise AuthFailed(failure, f"{whom}: {error}") from None
        except TimeoutError:
            raise AuthFailed("timeout", f"{whom} did not answer within {seconds:g} seconds") from None
        if 300 <= status < 400:
            raise AuthFailed("server", f"{whom} answered with a redirect ({status}), which is never followed")
        return status, data


async def _read(reply: HttpReply) -> tuple[int, bytes]:
    try:
        return reply.status, await reply.read(ANSWER_CAP)
    finally:
        await reply.close()


def may_carry(url: str) -> bool:
    """Whether a credential may go to this address: https; http where it does not leave the machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_own_machine(host or "")))


def is_own_machine(host: str) -> bool:
    """Loopback, or where metadata services stand: link-local addresses, which no router passes on."""
    if host in _METADATA or host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local


def accepted(status: int, data: bytes, whom: str) -> bytes:
    """The body of a 2xx answer; anything else as AuthFailed, with its code where it has one."""
    if 200 <= status < 300:
        return data
    if status == 429:
        raise AuthFailed("rate_limited", f"{whom} has too many requests (429)")
    if status >= 500 or status in (408, 410):
        raise AuthFailed("server", f"{whom} failed ({status})")
    code = _code(data)
    raise AuthFailed("auth", f"{whom} refused the credential ({status}{', ' + code if code else ''})")


def _code(data: bytes) -> str:
    """What may be told of a refusal: OAuth's code, and Entra's number. By their form neither is a secret."""
    try:
        body = orjson.loads(data)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    found = [body["error"]] if isinstance(body.get("error"), str) else []
    told = [code for code in found if _OAUTH_CODE.fullmatch(code)]
    number = _ENTRA_CODE.search(str(body.get("error_description", "")))
    return ", ".join([*told, *([number[0]] if number else [])])


def parsed(data: bytes, whom: str) -> dict[str, Any]:
    """A JSON object. Raises AuthFailed."""
    try:
        body = orjson.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AuthFailed("server", f"{whom} answered with something that is no JSON object")
    return body


def basic(user: str, password: str) -> tuple[str, str]:
    """HTTP Basic of an OAuth client (RFC 6749, 2.3.1: both form-encoded first)."""
    pair = f"{quote_plus(user)}:{quote_plus(password)}"
    return "authorization", "Basic " + b64encode(pair.encode()).decode()
