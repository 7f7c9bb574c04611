"""Tokens, certificates and addresses in front of a real sidecar: who comes in, as whom, and who does not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from minting import Provider, claims, token

sys.path.append(str(Path(__file__).parent.parent / "server"))
sys.path.append(str(Path(__file__).parent.parent / "upstream"))

from running import CHAT, HELLO, Running, running, write_workspace
from vendor import Vendor

from engine.identity import issuer_keys
from engine.observe.log import Log

CANARY = "canary0123456789"
ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
routes:
  one: near
  who:
    start:
      switch:
        - {when: key.tags.team == "support" and key.org == "acme", respond: support of acme}
        - {when: key.tags.team == "search", respond: search}
      else: {respond: nobody in particular}
groups:
  office: {ips: [192.0.2.0/24]}
"""
KEYS = """\
keys:
  orgs: [acme]
  tags: {{team: {{values: [support, search], required: true}}}}
  jwt:
    corp:
      issuer: {issuer}
      audience: llm
      jwks: {issuer}/keys
      org: acme
      claims:
        name: email
        tags: {{team: {{claim: [realm, roles], values: {{cs: support, se: search}}}}}}
        groups: groups
  mtls:
    bots: {{uri: spiffe://acme.ai/bots/*, org: acme, tags: {{team: support}}}}
    finder: {{dns: finder.acme.ai, org: acme, tags: {{team: search}}}}
"""


def said(provider: Provider, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": provider.issuer, "iat": now, "exp": now + 600, "realm": {"roles": ["all", "cs"]}}
    return claims(**{**usual, **more})


def bearer(shown: bytes) -> dict[str, str]:
    return {"authorization": f"Bearer {shown.decode()}"}


async def told(client: httpx.AsyncClient, headers: dict[str, str], model: str = "who") -> str:
    """Who the sidecar takes this for, or its status and code."""
    answer = await client.post(CHAT, json={"model": model, "messages": HELLO}, headers=headers)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as served:
        yield served


@contextlib.asynccontextmanager
async def sidecar(
    provider: Provider, vendor: Vendor, folder: Path, lines: io.StringIO
) -> AsyncIterator[tuple[Running, trustme.CA, trustme.CA]]:
    """With TLS, an authority of clients, and 127.0.0.1 as its proxy."""
    servers, clients = trustme.CA(), trustme.CA()
    servers.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    clients.cert_pem.write_to_path(str(folder / "clients.pem"))
    settings = (
        f"tls: {{certificate: 'file:{folder}/tls.pem', key: 'file:{folder}/tls.pem', "
        f"clients: 'file:{folder}/clients.pem', client_required: false}}\n"
        "trusted_proxies: [127.0.0.1]\ndecision_log: decisions.jsonl\n"
    )
    routes = ROUTES + KEYS.format(issuer=provider.issuer)
    ws = write_workspace(folder / "ws", vendor.port, routes=routes, settings=settings)
    async with running(ws, log=Log("debug", stream=lines, text=False)) as served:
        yield served, servers, clients


@contextlib.asynccontextmanager
async def client(
    served: Running, servers: trustme.CA, shows: trustme.LeafCert | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    servers.configure_trust(context)
    if shows is not None:
        shows.configure_cert(context)
    url = f"https://{served.address}"
    async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as made:
        yield made


async def test_who_comes_in(provider: Provider, vendor: Vendor, tmp_path: Path) -> None:
    lines = io.StringIO()
    async with sidecar(provider, vendor, tmp_path, lines) as (served, servers, clients):
        async with client(served, servers) as plain:
            good = bearer(token(said(provider, email=f"{CANARY}@acme.ai")))
            assert await told(plain, good) == "support of acme"
            assert await told(plain, {"x-api-key": good["authorization"][7:]}) == "support of acme"
            assert (
                await told(plain, bearer(token(said(provider, realm={"roles": ["se"]}), "p256"))) == "search"
            )
            assert await told(plain, bearer(token(said(provider, realm={})))) == "403 key_not_allowed"

            strangers = [
                {},
                bearer(token(said(provider, aud=CANARY))),
                bearer(token(said(provider, exp=int(time.time()) - 100, sub=CANARY))),
                bearer(token(said(provider), headers={"kid": CANARY})),
                bearer(token(said(provider), "other rsa", headers={"kid": "rsa"})),
                bearer(token(said(provider, iss="https://evil.ai"))),
                {"authorization": f"Bearer {CANARY}"},
                {"authorization": f"Bearer eyJ.{CANARY}.x"},
            ]
            refused = [
                await plain.post(CHAT, json={"model": "who", "messages": HELLO}, headers=h) for h in strangers
            ]
            assert {answer.status_code for answer in refused} == {401}
            assert len({answer.text for answer in refused}) == 1
            assert all(CANARY not in answer.text for answer in refused)
            listed = await plain.get("/v1/models", headers=good)
            assert listed.status_code == 200
            assert (await plain.get("/v1/models")).status_code == 401

            office = bearer(token(said(provider, groups=["office", "unknown"])))
            assert await told(plain, office) == "401 invalid_key"
            assert await told(plain, {**office, "x-forwarded-for": "192.0.2.7"}) == "support of acme"
            assert (
                await told(plain, {**office, "x-forwarded-for": "192.0.2.7, 203.0.113.9"})
                == "401 invalid_key"
            )
            assert (
                await told(plain, {**office, "x-forwarded-for": "203.0.113.9, 192.0.2.7"})
                == "support of acme"
            )

        for names, who in (
            (["spiffe://acme.ai/bots/x"], "support of acme"),
            (["finder.acme.ai"], "search"),
            (["spiffe://acme.ai/bots/x/y"], "401 invalid_key"),
            (["spiffe://acme.ai/bots/"], "401 invalid_key"),
            (["else.acme.ai"], "401 invalid_key"),
            (["else.acme.ai", "FINDER.acme.ai"], "search"),
        ):
            async with client(served, servers, issue(clients, names)) as bot:
                assert await told(bot, {}) == who, names
                assert (
                    await told(bot, {"authorization": "Bearer sk-x"}) == "401 invalid_key"
                )  # what it shows counts
                assert await told(bot, {"authorization": "Bearer"}) == who
    log = (served.folder / "decisions.jsonl").read_text()
    records = [json.loads(line) for line in log.splitlines()]
    assert records
    assert token(said(provider)).split(b".")[0].decode() not in log + lines.getvalue()
    assert CANARY not in lines.getvalue()
    assert vendor.bodies == []


def issue(authority: trustme.CA, names: list[str]) -> trustme.LeafCert:
    """A client's certificate; trustme knows no URIs, so cryptography signs those with its key."""
    if not any("://" in name for name in names):
        return authority.issue_cert(*names)
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names]),
            critical=True,
        )
        .sign(signer, hashes.SHA256())  # type: ignore[arg-type] # trustme's keys can sign
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return trustme.LeafCert(private, made.public_bytes(pem), [])


async def test_an_issuer_that_is_away_when_it_starts(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sidecar starts all the same; tokens wait for nobody longer than a fetch takes, and are told."""
    monkeypatch.setattr(issuer_keys, "_AGAIN_S", (0.05, 0.05))
    async with Provider().running() as provider:
        provider.shows("/keys", {}, 500)
        lines = io.StringIO()
        async with (
            sidecar(provider, vendor, tmp_path, lines) as (served, servers, _),
            client(served, servers) as plain,
        ):
            shown = bearer(token(said(provider)))
            answer = await plain.post(CHAT, json={"model": "who", "messages": HELLO}, headers=shown)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "identity_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert await told(plain, {}) == "401 invalid_key"
            issuers = (await plain.get("/admin/status")).json()["issuers"]
            assert issuers["corp"]["keys"] == 0
            assert "answered 500" in issuers["corp"]["failing"]
            provider.shows_keys()
            async with asyncio.timeout(30):
                while await told(plain, shown) != "support of acme":
                    await asyncio.sleep(0.1)
            issuers = (await plain.get("/admin/status")).json()["issuers"]
            assert issuers == {"corp": {"keys": 3, "failing": None}}
