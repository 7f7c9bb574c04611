"""JSON Web Tokens that we make ourselves: signed by a shared key, or by an RSA key out of a PEM text.

RSA needs the package `cryptography` (the extra `auth`): 27 ms and 12 MB that only those pay who use it.
"""

from __future__ import annotations

import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from engine.upstream.schemes.failed import AuthFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_INSTALL: Final = 'install it: pip install "llm-runner-router[auth]"'


def b64url(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_hs256(claims: Mapping[str, Any], key: bytes, header: Mapping[str, Any] | None = None) -> str:
    """A token signed with a shared key."""
    text = _signing_input({"alg": "HS256", "typ": "JWT", **(header or {})}, claims)
    return f"{text}.{b64url(hmac.digest(key, text.encode(), 'sha256'))}"


def signed_rs256(claims: Mapping[str, Any], pem: str, header: Mapping[str, Any] | None = None) -> str:
    """A token signed with an RSA key, PKCS #1 padding. Raises AuthFailed."""
    key = _private_key(pem)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    text = _signing_input({"alg": "RS256", "typ": "JWT", **(header or {})}, claims)
    return f"{text}.{b64url(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def signed_ps256(claims: Mapping[str, Any], pem: str, header: Mapping[str, Any] | None = None) -> str:
    """A token signed with an RSA key, PSS padding. Raises AuthFailed."""
    key = _private_key(pem)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    text = _signing_input({"alg": "PS256", "typ": "JWT", **(header or {})}, claims)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
    return f"{text}.{b64url(key.sign(text.encode(), pss, hashes.SHA256()))}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a token says of the certificate that its signature belongs to."""

    thumbprint: str  # of SHA-256, in base64url: `x5t#S256`
    chain: tuple[str, ...]  # DER in base64: `x5c`


def certificate(pem: str) -> Certificate:
    """The certificates of a PEM text that holds a private key as well. Raises AuthFailed."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding
    except ImportError:
        raise AuthFailed("auth", f"a certificate needs the package `cryptography`; {_INSTALL}") from None
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise AuthFailed("auth", "the certificate is no PEM text with a certificate in it") from None
    chain = tuple(b64encode(each.public_bytes(Encoding.DER)).decode() for each in found)
    return Certificate(b64url(found[0].fingerprint(hashes.SHA256())), chain)


def _signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return f"{b64url(orjson.dumps(header))}.{b64url(orjson.dumps(claims))}"


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise AuthFailed("auth", f"an RSA key needs the package `cryptography`; {_INSTALL}") from None
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise AuthFailed("auth", "the private key is no unencrypted PEM text") from None
    if not isinstance(key, RSAPrivateKey):
        raise AuthFailed("auth", "the private key is not an RSA key")
    return key
