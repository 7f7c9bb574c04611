"""Client credentials, SAML assertions and exchanged keys: what is asked, and what becomes of any answer."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from desks import NOW, Answer, Desks, answer, scheme, shown

from engine.upstream.protocol import TransportError
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.secrets import SecretMissing

URL = "https://login.acme.ai/token"
GOOD = answer({"access_token": "tok-1", "expires_in": 3600, "token_type": "Bearer"})
SECRET = "cl!ent secret/canary"
ENV = {"ID": "me@x", "SECRET": SECRET, "KEY": "key-canary", "SAML": "<a:Assertion>ü</a:Assertion>"}
CLIENT = {"client_id": "env:ID", "client_secret": "env:SECRET"}


async def test_client_credentials_in_a_header() -> None:
    desks = Desks({f"POST {URL}": GOOD})
    params = {"token_url": URL, "scope": "all-apis", "form": {"audience": "a"}}
    auth = scheme("oauth2_client_credentials", params, desks, env=ENV, defaults=CLIENT)
    assert auth.there() == "client credentials"
    assert await shown(auth) == "Bearer tok-1"
    assert desks.form() == {"grant_type": "client_credentials", "scope": "all-apis", "audience": "a"}
    kind, _, pair = desks.headers()["authorization"].partition(" ")
    assert (kind, base64.b64decode(pair).decode()) == ("Basic", "me%40x:cl%21ent+secret%2Fcanary")
    assert desks.given[0].closed


async def test_client_credentials_in_the_form_of_a_credential() -> None:
    desks = Desks({f"POST {URL}": GOOD})
    params = {"token_url": URL, "send": "body"}
    given = {"client_id": "other", "client_secret": "env:SECRET"}
    auth = scheme("oauth2_client_credentials", params, desks, env=ENV, defaults=CLIENT, given=given)
    await shown(auth)
    assert desks.form() == {
        "grant_type": "client_credentials", "client_id": "other", "client_secret": SECRET,
    }  # fmt: skip
    assert "authorization" not in desks.headers()


async def test_a_credential_takes_nothing_from_the_defaults() -> None:
    auth = scheme(
        "oauth2_client_credentials",
        {"token_url": URL},
        Desks({}),
        env=ENV,
        defaults=CLIENT,
        given={"client_id": "x"},
    )
    with pytest.raises(SecretMissing, match="no `client_secret`"):
        auth.there()


def test_defaults_that_are_not_set_are_named() -> None:
    auth = scheme(
        "oauth2_client_credentials", {"token_url": URL}, Desks({}), env={"ID": "x"}, defaults=CLIENT
    )
    with pytest.raises(SecretMissing, match="no `client_secret`: env:SECRET is not set"):
        auth.there()


@pytest.mark.parametrize("form", ["xml", "base64", "base64url", "file"])
async def test_saml2_bearer(form: str, tmp_path: Path) -> None:
    xml = ENV["SAML"].encode()
    texts = {
        "xml": xml.decode(),
        "base64": base64.encodebytes(xml).decode(),
        "base64url": base64.urlsafe_b64encode(xml).decode().rstrip("="),
    }
    path = tmp_path / "assertion"
    path.write_text(texts.get(form, "\n" + xml.decode() + "\n"))
    desks = Desks({f"POST {URL}": GOOD})
    auth = scheme(
        "saml2_bearer", {"token_url": URL}, desks, given={"assertion": f"file:{path}", "client_id": "c"}
    )
    assert await shown(auth) == "Bearer tok-1"
    sent = desks.form()
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:saml2-bearer"
    assert sent["client_id"] == "c"
    assert not set(sent["assertion"]) & set("+/=")
    assert base64.urlsafe_b64decode(sent["assertion"] + "==") == xml


async def test_an_assertion_that_is_none_is_told_without_its_text(tmp_path: Path) -> None:
    auth = scheme(
        "saml2_bearer", {"token_url": URL}, Desks({}), env={"S": "!canary!"}, given={"assertion": "env:S"}
    )
    with pytest.raises(SecretMissing, match="neither XML nor Base64") as found:
        auth.there()
    assert "canary" not in str(found.value)


async def test_ibm_iam() -> None:
    """The form of IBM's IAM, whose answer has both a life and an end."""
    now = [NOW]
    answered = {"access_token": "iam", "expires_in": 3600, "expiration": NOW + 3600, "refresh_token": "n"}
    desks = Desks({f"POST {URL}": answer(answered)})
    params = {
        "token_url": URL, "secret_field": "apikey", "expires_at": "expiration",
        "form": {"grant_type": "urn:ibm:params:oauth:grant-type:apikey"},
    }  # fmt: skip
    auth = scheme(
        "token_exchange", params, desks, env=ENV, defaults={"secret": "env:KEY"}, clock=lambda: now[0]
    )
    assert await shown(auth) == "Bearer iam"
    assert desks.form() == {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "key-canary"}
    now[0] += 3600 - 31
    assert auth.ready()
    now[0] += 2
    assert not auth.ready()


async def test_rfc_8693_and_a_json_body() -> None:
    desks = Desks({f"POST {URL}": answer({"data": {"token": "t", "ends": "2100-01-01T00:00:00Z"}})})
    params = {
        "token_url": URL, "secret_field": "subject_token", "body": "json", "token": "data.token",
        "expires_at": "data.ends", "form": {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"},
    }  # fmt: skip
    given = {"secret": "env:KEY", **CLIENT}
    auth = scheme("token_exchange", params, desks, env=ENV, given=given)
    assert await shown(auth) == "Bearer t"
    assert desks.headers()["content-type"] == "application/json"
    assert desks.headers()["authorization"].startswith("Basic ")
    assert b'"subject_token":"key-canary"' in desks.calls[0].body


REFUSED: list[tuple[Any, str, str]] = [
    (
        answer({"error": "invalid_client", "error_description": f"wrong {SECRET}"}, 401),
        "auth",
        "(401, invalid_client)",
    ),
    (answer({"error": SECRET}, 400), "auth", "(400)"),
    (answer(SECRET.encode(), 403), "auth", "(403)"),
    (answer({}, 503), "server", "failed (503)"),
    (answer({}, 429), "rate_limited", "429"),
    (
        Answer(302, b"", {"location": "https://evil.example"}),
        "server",
        "redirect (302), which is never followed",
    ),
    (answer(SECRET.encode()), "server", "no JSON object"),
    (answer([SECRET]), "server", "no JSON object"),
    (answer({"token": SECRET}), "server", "without a usable token"),
    (answer({"access_token": "a\nb: c"}), "server", "without a usable token"),
    (answer({"access_token": 5}), "server", "without a usable token"),
    (TransportError("connect", "no connection"), "connect", "no connection"),
    (TransportError("timeout", "no answer"), "timeout", "no answer"),
    (TransportError("cut", "cut off"), "server", "cut off"),
]


@pytest.mark.parametrize(("reply", "failure", "text"), REFUSED, ids=lambda v: str(v)[:30])
async def test_every_failure_has_its_class_and_no_secret(
    reply: Any, failure: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    desks = Desks({f"POST {URL}": reply})
    auth = scheme("oauth2_client_credentials", {"token_url": URL}, desks, env=ENV, defaults=CLIENT)
    with pytest.raises(AuthFailed) as found:
        await shown(auth)
    assert found.value.failure == failure
    assert text in str(found.value)
    assert "canary" not in f"{found.value!r} {caplog.text} {auth!r}"
    assert all(each.closed for each in desks.given)
    assert len(desks.calls) == 1


@pytest.mark.parametrize(
    "url",
    ["http://login.acme.ai/token", "http://10.0.0.5/token", "ftp://127.0.0.1/x", "https:///x", "http://[zz/"],
)
async def test_nothing_goes_to_an_address_that_may_not_have_it(url: str) -> None:
    desks = Desks({})
    auth = scheme("oauth2_client_credentials", {"token_url": url}, desks, env=ENV, defaults=CLIENT)
    with pytest.raises(AuthFailed, match="https addresses only"):
        await shown(auth)
    assert not desks.calls


@pytest.mark.parametrize(
    ("body", "life"),
    [
        ({"expires_in": "3599"}, 3599),
        ({"expires_in": True}, 300),
        ({"expires_in": "soon"}, 300),
        ({}, 300),
        ({"expires_in": 1e300}, 300),
    ],
)
async def test_the_life_of_a_token(body: dict[str, Any], life: int) -> None:
    now = [NOW]
    desks = Desks({f"POST {URL}": answer({"access_token": "t", **body})})
    auth = scheme(
        "oauth2_client_credentials", {"token_url": URL}, desks, env=ENV, defaults=CLIENT, clock=lambda: now[0]
    )
    await shown(auth)
    now[0] += life - min(30, life * 0.05) - 1
    assert auth.ready()
    now[0] += 2
    assert not auth.ready()
