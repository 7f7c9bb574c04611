"""Who asks: TLS, addresses, tokens of identity providers, certificates (`spec/tls`, `spec/network`, ...)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import ROUTED

_TLS = "tls:\n  certificate: file:/etc/engine/tls.pem\n  key: file:/etc/engine/tls.key\n"


def _jwt(more: str) -> str:
    """An issuer with this line, and a tag that every key must carry."""
    return (
        ROUTED + "keys:\n  tags:\n    team: {required: true}\n  jwt:\n    corp:\n"
        "      issuer: https://login.acme.ai\n      audience: llm\n"
        + ("" if "claims" in more else "      tags: {team: all}\n")
        + f"      {more}\n"
    )


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
    Code(
        "E293",
        "token-issuer",
        why="Whose tokens are taken has to be clear: by which algorithms they are signed (never by none, and "
        "never with a secret that also checks them), which claims say what, and one entry for an issuer.",
        fix="The message says what is accepted.",
        bad=_jwt("algorithms: [HS256]"),
        good=_jwt("algorithms: [RS256]"),
    ),
    Code(
        "E294",
        "token-claims",
        why="A tag that every key must carry has to come from somewhere for whoever is known by a token or a "
        "certificate, or none of them could ask anything; and it comes from one place.",
        fix="Give it to all of them with `tags`, or take it from each token with `claims`.",
        bad=_jwt("claims: {name: email}"),
        good=_jwt("claims: {name: email, tags: {team: [groups, 0]}}"),
    ),
    Code(
        "E295",
        "certificate-rule",
        why="A rule for clients' certificates has one name to look for, and fits somebody only where "
        "engine.yaml asks clients for a certificate.",
        fix="Write one of `uri`, `dns`, `email` and `cn`, and `tls: {clients: ...}` in engine.yaml.",
        bad={"routes/main.yaml": ROUTED + "keys:\n  mtls:\n    bot: {dns: bot.acme.ai}\n"},
        good={
            "engine.yaml": _TLS + "  clients: file:/etc/engine/clients.pem\n",
            "routes/main.yaml": ROUTED + "keys:\n  mtls:\n    bot: {dns: bot.acme.ai}\n",
        },
    ),
    Code(
        "W296",
        "everybody-trusted",
        why="The address that a client came from is read from `x-forwarded-for` where a trusted proxy wrote "
        "it. Where everybody is trusted, everybody writes it, and `ips` keeps nobody out.",
        fix="Name the addresses of your proxies.",
        bad={"engine.yaml": "trusted_proxies: [0.0.0.0/0]\n", "routes/main.yaml": ROUTED},
        good={"engine.yaml": "trusted_proxies: [10.0.0.0/8]\n", "routes/main.yaml": ROUTED},
    ),
)
