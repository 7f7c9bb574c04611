"""TLS of an address: its context, made anew when one of its files has changed; what certificate was shown.

A context is never changed, it is replaced: what it was made with, authorities that were taken out and the
keys of session tickets, then ends with the connections that were made under it. Connections that are open go
on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine.control.settings import TlsFiles

#: How often the files are looked at, in seconds.
LOOK_S: Final = 2.0
#: A client has this long for its part of a handshake, and for its farewell.
HANDSHAKE_S: Final = 10.0
FAREWELL_S: Final = 2.0

#: What Python calls a kind of subject alternative name -> what rules call it.
_KINDS: Final = {"URI": "uri", "DNS": "dns", "email": "email"}

Name = tuple[str, str]
Stamp = tuple[tuple[int, int, int] | None, ...]


class TlsFault(Exception):
    """The files make no context. The text says which, why, and what to do; it holds nothing of a key."""


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """What a server's connections are made with. Blocks: files are read. Raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    for path in (files.certificate, files.key, files.clients):
        if path is not None:
            _readable(path)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except _EncryptedError:
        raise TlsFault(
            f"tls.key: {files.key} has a password; write it without one, readable to this user"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFault(f"tls: {files.key} is not the key of {files.certificate}") from None
        raise TlsFault(
            f"tls: {files.certificate} and {files.key} are no certificate and key as PEM ({error.reason})"
        ) from None
    if files.clients is not None:
        try:
            context.load_verify_locations(files.clients)
        except ssl.SSLError as error:
            raise TlsFault(
                f"tls.clients: {files.clients} holds no certificates as PEM ({error.reason})"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED if files.required else ssl.CERT_OPTIONAL
    return context


class _EncryptedError(Exception):
    """A key asks for a password. Without an answer OpenSSL would ask on the terminal."""


def _no_password() -> str:
    raise _EncryptedError


def _readable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsFault(f"tls: {path} cannot be read: {error.strerror or error}") from None


def stamp(files: TlsFiles) -> Stamp:
    """What changes when a file does, also one behind links: the file's number, size and time."""
    return tuple(_stamp(path) for path in (files.certificate, files.key, files.clients) if path is not None)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        about = Path(path).stat()
    except OSError:
        return None
    return (about.st_ino, about.st_size, about.st_mtime_ns)


async def renewed(files: TlsFiles, known: Stamp) -> AsyncIterator[ssl.SSLContext | TlsFault]:
    """A context each time that the files have changed, or why they make none. `known`: of the running one."""
    while True:
        await asyncio.sleep(LOOK_S)
        now = await asyncio.to_thread(stamp, files)
        if now == known:
            continue
        known = now
        try:
            yield await asyncio.to_thread(make_context, files)
        except TlsFault as fault:
            yield fault


def certificate_names(transport: asyncio.BaseTransport) -> tuple[Name, ...]:
    """The names in the certificate that the client showed and OpenSSL verified: (kind, name) of each.

    kind: `uri`, `dns` or `email` of the subject's alternative names, `cn` of its common name.
    """
    shown: Mapping[str, Any] | None = transport.get_extra_info("peercert")
    if not shown:
        return ()
    names = [(_KINDS[kind], name) for kind, name in shown.get("subjectAltName", ()) if kind in _KINDS]
    names += [
        ("cn", value) for part in shown.get("subject", ()) for key, value in part if key == "commonName"
    ]
    return tuple(names)
