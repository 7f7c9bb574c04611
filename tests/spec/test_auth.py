"""`auth:`: what it reads, and what it refuses where."""

from __future__ import annotations

from typing import Any

import pytest

from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.compiler.shape import shape
from engine.diagnostics import Diagnostics
from engine.plan.auth import NEEDS, SLOTS
from engine.spec.auth import AuthSpec
from engine.spec.credential import NO_SLOTS, Credential
from engine.spec.provider import ProviderSpec

OAUTH = "oauth2_client_credentials: {token_url: "


def read(text: str) -> tuple[Any, list[str]]:
    out = Diagnostics()
    document = parse(Source("x.yaml", "provider", f"dialect: a\nauth: {text}\n", ""), out)
    assert document is not None
    found = shape(ProviderSpec, document, out)
    return found, [f"{d.code} {d.span.line}:{d.span.column}" for d in out if d.span is not None]


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("none", "none"),
        ("{bearer: [env:A, env:B]}", "bearer"),
        ("[{bearer: env:A}, {aws_sigv4: {service: bedrock}}]", "any_of"),
        ("{any_of: [{bearer: env:A}]}", "any_of"),
        ("{" + OAUTH + "'https://${{ settings.host }}.acme.ai/t'}}", "oauth2_client_credentials"),
        ("{" + OAUTH + "'http://127.0.0.1:8080/t'}}", "oauth2_client_credentials"),
        (
            "{" + OAUTH + "'http://[::1]/t', client_id: plain, client_secret: env:S}}",
            "oauth2_client_credentials",
        ),
        ("{azure_entra: {scope: s, client_id: env:A, tenant: t-1}}", "azure_entra"),
        ("{jwt_hs256: {secret: env:A, header: {sign_type: SIGN}, lifetime: 3m}}", "jwt_hs256"),
    ],
)
def test_reads(text: str, scheme: str) -> None:
    found, told = read(text)
    assert told == []
    assert found.auth.scheme == scheme


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{bearer: env:A, query: {name: k}}", ["E407 2:7"]),
        ("{pattern: a}", ["E407 2:7"]),
        ("[{bearer: env:A}, none]", ["E407 2:25"]),
        ("[]", ["E114 2:7"]),
        ("{aws_sigv4: {}}", ["E107 2:8"]),
        ("{aws_sigv4: {service: x, regoin: y}}", ["E101 2:32"]),
        ("{" + OAUTH + "'http://login.acme.ai/t'}}", ["E403 2:47"]),
        ("{" + OAUTH + "'http://10.0.0.5/t'}}", ["E403 2:47"]),
        ("{" + OAUTH + "'https://user@acme.ai/t'}}", ["E102 2:47"]),
        ("{" + OAUTH + "'https://a.ai/t', client_secret: hunter2}}", ["E105 2:80"]),
        ("{azure_entra: {scope: s, client_secret: [env:A, b]}}", ["E105 2:55"]),
    ],
)
def test_refuses(text: str, told: list[str]) -> None:
    found, diagnostics = read(text)
    assert found is None
    assert diagnostics == told


def test_the_slots_are_fields_of_both_sides() -> None:
    """A slot stands in the scheme's class, or is a credential's alone; what one must give can be given."""
    slots = {slot for taken in SLOTS.values() for slot in taken}
    assert slots == set(Credential.model_fields) - set(NO_SLOTS)
    for scheme, needs in NEEDS.items():
        assert all(set(need) <= set(SLOTS[scheme]) for need in needs)
        assert scheme in AuthSpec.model_fields
    assert SLOTS.keys() - NEEDS.keys() == {"none"}
