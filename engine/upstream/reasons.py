"""Why a connection could not be made, in words that may reach a client.

What the system says names addresses (`Connect call failed ('10.0.0.7', 8443)`) and host names of
certificates; a client learns which deployment failed and how, never where it stands.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Final

from engine.upstream.protocol import TransportError

#: OpenSSL's verify codes (X509_V_ERR_*). 18 to 21: no chain to a trusted root.
_CERTIFICATE: Final[Mapping[int, str]] = {
    9: "the host's certificate is not valid yet",
    10: "the host's certificate has expired",
    18: "the host's certificate is not trusted on this machine",
    19: "the host's certificate is not trusted on this machine",
    20: "the host's certificate is not trusted on this machine",
    21: "the host's certificate is not trusted on this machine",
    62: "the host's certificate is for another name",
    64: "the host's certificate is for another address",
}


def unconnected(error: Exception, whom: str = "") -> TransportError:
    """The error of a connection that did not come about. whom: what was connected to, where not the host."""
    place = f"no connection{whom}"
    match error:
        case TimeoutError():
            return TransportError("timeout", f"{place} in time", unsent=True)
        case socket.gaierror() | UnicodeError():
            return TransportError("connect", "the host's name could not be resolved")
        case ssl.SSLCertVerificationError():
            told = _CERTIFICATE.get(error.verify_code, "the host's certificate is not valid")
            return TransportError("connect", told, lasting=True)
        case ssl.SSLError():
            return TransportError("connect", "no TLS connection")
        case OSError(errno=int(number)):
            return TransportError("connect", f"{place}: {os.strerror(number)}")
        case ConnectionError():  # of a handshake that broke off: it has no number
            return TransportError("connect", f"{place}: closed by the host")
        case _:
            return TransportError("connect", place)
