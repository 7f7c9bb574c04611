"""Where an issuer's keys are fetched from, and where not: over real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from minting import Provider, key_set

from engine.identity import fetch
from engine.identity.fetch import Fetcher, NotFetched
from engine.identity.key_set import MAX_BYTES

METADATA = "/.well-known/openid-configuration"


@pytest.fixture
async def fetcher(tmp_path: Path) -> AsyncIterator[Fetcher]:
    made = Fetcher(tmp_path)
    yield made
    await made.close()


async def why(fetcher: Fetcher, issuer: str, jwks: str | None) -> str:
    with pytest.raises(NotFetched) as told:
        await fetcher.fetch(issuer, jwks)
    return str(told.value)


async def test_an_address_that_is_named(provider: Provider, fetcher: Fetcher) -> None:
    assert len(await fetcher.fetch("https://nobody.ai", f"{provider.issuer}/keys")) == 3


async def test_where_the_issuer_says(provider: Provider, fetcher: Fetcher) -> None:
    provider.shows(METADATA, {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"})
    assert len(await fetcher.fetch(provider.issuer, None)) == 3
    assert provider.asked == [METADATA, "/keys"]


async def test_an_issuer_with_a_path(provider: Provider, fetcher: Fetcher) -> None:
    issuer = f"{provider.issuer}/realms/main"
    provider.shows(f"/realms/main{METADATA}", {"issuer": issuer, "jwks_uri": f"{provider.issuer}/keys"})
    assert len(await fetcher.fetch(issuer, None)) == 3


async def test_another_issuers_metadata(provider: Provider, fetcher: Fetcher) -> None:
    provider.shows(METADATA, {"issuer": "https://evil.ai", "jwks_uri": f"{provider.issuer}/keys"})
    assert "another issuer" in await why(fetcher, provider.issuer, None)
    assert provider.asked == [METADATA]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:{port}/keys",
        "https://localhost:{port}/keys",
        "https://10.0.0.1/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "http://user@127.0.0.1:{port}/keys",
        "http://127.0.0.1:{port}/ke ys",
        "http://[::1",
        7,
        None,
    ],
)
async def test_nobody_is_led_inside(provider: Provider, fetcher: Fetcher, url: object) -> None:
    """What metadata names at another host has to be public; `localhost` is another host than 127.0.0.1."""
    said = url.format(port=provider.port) if isinstance(url, str) else url
    provider.shows(METADATA, {"issuer": provider.issuer, "jwks_uri": said})
    assert "write `jwks`" in await why(fetcher, provider.issuer, None)
    assert provider.asked == [METADATA]


async def test_what_is_no_answer(provider: Provider, fetcher: Fetcher) -> None:
    there = f"{provider.issuer}/keys"
    for status, body, headers, told in (
        (302, b"", "location: http://127.0.0.1/else\r\n", "redirect"),
        (500, b"", "", "answered 500"),
        (200, b"<html>", "", "is no JSON"),
        (200, b'{"keys": []}', "", "is no set of keys"),
        (200, b'{"keys": ' + b"[" * 5000, "", "is no JSON"),
        (200, b"x" * (MAX_BYTES + 1), "", "longer"),
    ):
        provider.shows("/keys", body, status, headers)
        assert told in await why(fetcher, "https://nobody.ai", there)
    assert set(provider.asked) == {"/keys"}
    assert len(provider.asked) == 6


async def test_a_slow_one(provider: Provider, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.05)
    provider.gate = asyncio.Event()
    assert "seconds" in await why(fetcher, "https://nobody.ai", f"{provider.issuer}/keys")


async def test_over_tls(fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Provider(context).running() as provider:
        provider.shows_keys("ed")
        assert "certificate" in await why(fetcher, "https://nobody.ai", f"{provider.issuer}/keys")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        trusting = Fetcher(tmp_path)
        assert len(await trusting.fetch("https://nobody.ai", f"{provider.issuer}/keys")) == 1
        await trusting.close()


async def test_a_file(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps(key_set("rsa")))
    assert len(await fetcher.fetch("https://nobody.ai", "file:jwks.json")) == 1
    assert len(await fetcher.fetch("https://nobody.ai", f"file:{tmp_path}/jwks.json")) == 1
    assert "cannot be read" in await why(fetcher, "https://nobody.ai", "file:none.json")
    (tmp_path / "jwks.json").write_bytes(b" " * (MAX_BYTES + 1))
    assert "more than" in await why(fetcher, "https://nobody.ai", "file:jwks.json")
