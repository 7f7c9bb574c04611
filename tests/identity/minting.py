"""An identity provider of the tests' own: its keys, its tokens, and a server on loopback that shows them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000
ISSUER = "http://127.0.0.1/realms/main"

#: Made once: an RSA key takes a while.
KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "other rsa": rsa.generate_private_key(65537, 2048),
    "weak rsa": rsa.generate_private_key(65537, 1024),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
USUAL = {
    "rsa": "RS256",
    "p256": "ES256",
    "p384": "ES384",
    "ed": "EdDSA",
    "other rsa": "RS256",
    "weak rsa": "RS256",
}


def jwk(name: str, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half of a key as a row of a key set."""
    public = KEYS[name].public_key()
    makers = {"rsa": RSAAlgorithm, "p256": ECAlgorithm, "p384": ECAlgorithm, "ed": OKPAlgorithm}
    row: dict[str, Any] = makers[name.rpartition(" ")[2]].to_jwk(public, as_dict=True)
    row.pop("key_ops", None)
    return {**row, "kid": kid or name, "use": "sig", **more}


def key_set(*names: str) -> dict[str, Any]:
    return {"keys": [jwk(name) for name in names or ("rsa", "p256", "ed")]}


def claims(**more: Any) -> dict[str, Any]:
    """Good claims, with these over them; None takes one out."""
    usual = {"iss": ISSUER, "aud": "llm", "sub": "ann", "iat": NOW - 60, "exp": NOW + 600}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def token(
    said: Mapping[str, Any] | None = None,
    key: str = "rsa",
    *,
    algorithm: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> bytes:
    """A token that PyJWT signed."""
    heads = {"kid": key, **(headers or {})}
    heads = {name: value for name, value in heads.items() if value is not None}
    said = dict(claims() if said is None else said)
    # `encode` of JWTs refuses claims that are hostile; a signature of any bytes does not.
    made = jwt.PyJWS().encode(json.dumps(said).encode(), KEYS[key], algorithm or USUAL[key], heads)
    return made.encode()


def encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def by_hand(header: Any, said: Any, signature: bytes = b"\0" * 32) -> bytes:
    """A token of any header and claims, with any signature."""
    return ".".join((encoded(header), encoded(said), encoded(signature))).encode()


class Provider:
    """A server of keys. `asked`: paths that were asked for; `answers`: path -> (status, body, headers)."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes, str]] = {}
        self.gate: asyncio.Event | None = None
        self._context = context

    @property
    def issuer(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def shows(self, path: str, value: Any, status: int = 200, headers: str = "") -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answers[path] = (status, body, headers)

    def shows_keys(self, *names: str) -> None:
        self.shows("/keys", key_set(*names))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Provider]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._writers: set[asyncio.StreamWriter] = set()
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                self.asked.append(path)
                if self.gate is not None:
                    await self.gate.wait()
                status, body, headers = self.answers.get(path, (404, b"{}", ""))
                rows = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
                writer.write(rows.encode() + body)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()
