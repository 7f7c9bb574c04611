"""Who asks: TLS, addresses, tokens of identity providers, certificates (`spec/tls`, `spec/network`, ...)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import ROUTED

_TLS = "tls:\n  certificate: file:/etc/engine/tls.pem\n  key: file:/etc/engine/tls.key\n"

CODES = (
    Code(
        "E291",
        "tls-files",
        why="A certificate and its key are read from files, which are looked at again as they change; a "
        "variable of the environment cannot change. And a client can be asked for a certificate only where "
        "it is said whose certificates count.",
        fix="Write `file:` and a path; name the authorities of clients' certificates with `clients`.",
        bad={"engine.yaml": _TLS + "  client_required: true\n", "routes/main.yaml": ROUTED},
        good={
            "engine.yaml": _TLS + "  client_required: true\n  clients: file:/etc/engine/clients.pem\n",
            "routes/main.yaml": ROUTED,
        },
    ),
    Code(
        "E292",
        "address-range",
        why="This is no range of addresses, or can be read in two ways: a range that begins in its middle "
        "may have been meant as one address or as all of it. IPv4 addresses are compared as IPv4, also where "
        "a socket shows them inside IPv6.",
        fix="Write 10.0.0.0/8, 2001:db8::/32, or one address.",
        bad={"engine.yaml": "trusted_proxies: [10.1.2.3/8]\n", "routes/main.yaml": ROUTED},
        good={"engine.yaml": "trusted_proxies: [10.0.0.0/8, 10.1.2.3]\n", "routes/main.yaml": ROUTED},
    ),
)
