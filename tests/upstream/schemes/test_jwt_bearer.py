"""Signed statements: as google-auth signs them, and what our own keys sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import jwt
import pytest
from desks import NOW, Desks, answer, scheme, shown
from google.oauth2 import service_account

from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.secrets import SecretMissing

URL = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
METADATA = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
PARAMS = {
    "token_url": URL, "scope": SCOPE, "metadata_url": METADATA,
    "metadata_headers": {"metadata-flavor": "Google"},
}  # fmt: skip
GOOD = answer({"access_token": "ya29.t", "expires_in": 3599})


@pytest.fixture
def account(key_pem: str) -> dict[str, str]:
    return {
        "type": "service_account", "project_id": "p", "private_key_id": "kid-1", "private_key": key_pem,
        "client_email": "router@p.iam.gserviceaccount.com", "token_uri": URL,
    }  # fmt: skip


async def test_the_statement_is_google_auths(account: dict[str, str], key: Any, tmp_path: Path) -> None:
    path = tmp_path / "sa.json"
    path.write_text(json.dumps(account, indent=2))
    desks = Desks({f"POST {URL}": GOOD})
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    places = {"service_account": "env:GOOGLE_APPLICATION_CREDENTIALS"}
    auth = scheme("oauth2_jwt_bearer", PARAMS, desks, env=env, defaults=places)
    assert auth.there() == "a service account's document"
    assert await shown(auth) == "Bearer ya29.t"
    sent = desks.form()
    theirs = service_account.Credentials.from_service_account_info(account, scopes=[SCOPE])
    with mock.patch("google.auth._helpers.utcnow", return_value=datetime.fromtimestamp(NOW, UTC)):
        expected = theirs._make_authorization_grant_assertion().decode()
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    ours = jwt.decode(
        sent["assertion"], key.public_key(), ["RS256"], audience=URL, options={"verify_exp": False}
    )
    assert ours == jwt.decode(expected, options={"verify_signature": False})
    assert jwt.get_unverified_header(sent["assertion"]) == jwt.get_unverified_header(expected)


async def test_a_document_in_a_variable_and_a_subject(account: dict[str, str], key: Any) -> None:
    desks = Desks({f"POST {URL}": GOOD})
    env = {"SA": json.dumps(account)}
    auth = scheme(
        "oauth2_jwt_bearer", PARAMS, desks, env=env, given={"service_account": "env:SA", "subject": "u@x"}
    )
    await shown(auth)
    assert jwt.decode(desks.form()["assertion"], options={"verify_signature": False})["sub"] == "u@x"


async def test_a_key_and_its_issuer(key_pem: str, key: Any) -> None:
    desks = Desks({f"POST {URL}": GOOD})
    given = {"private_key": "env:PEM", "issuer": "me", "key_id": "7"}
    auth = scheme(
        "oauth2_jwt_bearer", {"token_url": URL, "audience": "aud"}, desks, env={"PEM": key_pem}, given=given
    )
    await shown(auth)
    token = desks.form()["assertion"]
    claims = jwt.decode(token, key.public_key(), ["RS256"], audience="aud", options={"verify_exp": False})
    assert (claims["iss"], claims["exp"] - claims["iat"]) == ("me", 3600)
    assert jwt.get_unverified_header(token)["kid"] == "7"


async def test_a_users_refresh_token() -> None:
    desks = Desks({f"POST {URL}": GOOD})
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    auth = scheme(
        "oauth2_jwt_bearer", PARAMS, desks, env={"SA": json.dumps(user)}, given={"service_account": "env:SA"}
    )
    assert await shown(auth) == "Bearer ya29.t"
    assert desks.form() == {
        "grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r",
    }  # fmt: skip


async def test_the_metadata_service_stands_in() -> None:
    desks = Desks({f"GET {METADATA}": GOOD})
    auth = scheme("oauth2_jwt_bearer", PARAMS, desks, defaults={"service_account": "env:SA"})
    assert "metadata" in auth.there()
    assert await shown(auth) == "Bearer ya29.t"
    assert desks.headers()["metadata-flavor"] == "Google"
    assert desks.calls[0].url == f"{METADATA}?scopes={SCOPE}"


def test_the_metadata_service_never_stands_in_for_a_credential() -> None:
    auth = scheme("oauth2_jwt_bearer", PARAMS, Desks({}), given={"service_account": "env:SA"})
    with pytest.raises(SecretMissing, match="SA is not set"):
        auth.there()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"token_uri": "https://evil.example/token"}, "another token endpoint"),
        ({"type": "external_account"}, "neither a service account's nor a user's"),
        ({"private_key": "canary"}, "no unencrypted PEM"),
        ({"client_email": None}, "has no `client_email`"),
    ],
)
async def test_a_document_that_cannot_be_used(
    account: dict[str, Any], change: dict[str, Any], text: str
) -> None:
    desks = Desks({f"POST {URL}": GOOD})
    env = {"SA": json.dumps({**account, **change})}
    auth = scheme("oauth2_jwt_bearer", PARAMS, desks, env=env, given={"service_account": "env:SA"})
    with pytest.raises(AuthFailed, match=text) as found:
        await shown(auth)
    assert found.value.failure == "auth"
    assert "canary" not in str(found.value)
    assert not desks.calls


async def test_without_cryptography_it_is_told_what_to_install(account: dict[str, str]) -> None:
    auth = scheme(
        "oauth2_jwt_bearer",
        PARAMS,
        Desks({}),
        env={"SA": json.dumps(account)},
        given={"service_account": "env:SA"},
    )
    gone = dict.fromkeys(("cryptography", "cryptography.hazmat.primitives.asymmetric.rsa"))
    with mock.patch.dict("sys.modules", gone), pytest.raises(AuthFailed, match=r"llm-runner-router\[auth\]"):
        await shown(auth)


async def test_old_zhipu_keys() -> None:
    """As Zhipu's own SDK made them: milliseconds, `sign_type` in the header."""
    params = {
        "id_claim": "api_key", "issued_claim": "timestamp", "unit": "ms", "lifetime": 210_000,
        "header": {"sign_type": "SIGN"},
    }  # fmt: skip
    key = "s3cret" * 8
    auth = scheme("jwt_hs256", params, Desks({}), env={"Z": f"id1.{key}"}, defaults={"secret": "env:Z"})
    token = (await shown(auth)).removeprefix("Bearer ")
    claims = jwt.decode(token, key, ["HS256"], options={"verify_exp": False})
    assert claims == {"api_key": "id1", "timestamp": int(NOW * 1000), "exp": int(NOW * 1000) + 210_000}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "sign_type": "SIGN"}


@pytest.mark.parametrize("value", ["nodot", ".x", "x."])
def test_a_key_of_another_form_is_told(value: str) -> None:
    auth = scheme("jwt_hs256", {}, Desks({}), env={"Z": value}, defaults={"secret": "env:Z"})
    with pytest.raises(SecretMissing, match="not the form"):
        auth.there()
