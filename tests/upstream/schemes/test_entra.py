"""Entra: the requests that msal makes, made by us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import msal
import pytest
from desks import NOW, Desks, answer, scheme, shown

from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.secrets import SecretMissing

AUTHORITY = "https://login.microsoftonline.com"
URL = f"{AUTHORITY}/tenant-1/oauth2/v2.0/token"
SCOPE = "https://cognitiveservices.azure.com/.default"
PARAMS = {"scope": SCOPE, "authority": AUTHORITY, "managed_identity": True}
GOOD = answer({"access_token": "ey.t", "expires_in": 3599})
WHO = {"tenant": "env:AZURE_TENANT_ID", "client_id": "env:AZURE_CLIENT_ID"}
ENV = {"AZURE_TENANT_ID": "tenant-1", "AZURE_CLIENT_ID": "client-1"}
DEFAULTS = {
    **WHO, "client_secret": "env:AZURE_CLIENT_SECRET", "certificate": "env:AZURE_CLIENT_CERTIFICATE_PATH",
    "token_file": "env:AZURE_FEDERATED_TOKEN_FILE",
}  # fmt: skip


class _Web:
    """msal's HTTP client: keeps what is posted."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}
        self.url = ""

    def get(self, url: str, **_: Any) -> Any:
        about = {"authorization_endpoint": "https://x/a", "token_endpoint": URL, "issuer": AUTHORITY}
        return _Reply(json.dumps(about))

    def post(self, url: str, data: Any = None, **_: Any) -> Any:
        self.url, self.sent = url, dict(data)
        return _Reply('{"access_token": "a", "expires_in": 3600}')

    def close(self) -> None:
        pass


class _Reply:
    def __init__(self, text: str) -> None:
        self.status_code = 200
        self.headers: dict[str, str] = {}
        self.text = text

    def raise_for_status(self) -> None:
        pass


def theirs(credential: Any) -> _Web:
    web = _Web()
    app = msal.ConfidentialClientApplication(
        "client-1", client_credential=credential, authority=f"{AUTHORITY}/tenant-1", http_client=web,
        instance_discovery=False,
    )  # fmt: skip
    app.acquire_token_for_client([SCOPE])
    return web


async def test_a_client_secret() -> None:
    desks = Desks({f"POST {URL}": GOOD})
    auth = scheme("azure_entra", PARAMS, desks, env={**ENV, "AZURE_CLIENT_SECRET": "s~Q"}, defaults=DEFAULTS)
    assert auth.there() == "a client secret"
    assert await shown(auth) == "Bearer ey.t"
    web = theirs("s~Q")
    assert desks.form() == {name: web.sent[name] for name in desks.form()}
    assert web.sent.keys() - desks.form().keys() <= {"client_info"}
    assert desks.calls[0].url == web.url


@pytest.mark.parametrize("through", ["path in a variable", "credential"])
async def test_a_certificate(
    through: str, certificate_pem: str, key_pem: str, key: Any, tmp_path: Path
) -> None:
    path = tmp_path / "cert.pem"
    path.write_text(certificate_pem)
    desks = Desks({f"POST {URL}": GOOD})
    if through == "credential":
        given = {"tenant": "tenant-1", "client_id": "client-1", "certificate": f"file:{path}"}
        auth = scheme("azure_entra", PARAMS, desks, given=given)
    else:
        env = {**ENV, "AZURE_CLIENT_CERTIFICATE_PATH": str(path)}
        auth = scheme("azure_entra", PARAMS, desks, env=env, defaults=DEFAULTS)
    assert auth.there() == "a certificate"
    assert await shown(auth) == "Bearer ey.t"
    ours = desks.form()
    web = theirs({"private_key": key_pem, "public_certificate": certificate_pem.removeprefix(key_pem)})
    assert ours["client_assertion_type"] == web.sent["client_assertion_type"]
    token, expected = ours["client_assertion"], web.sent["client_assertion"]
    assert isinstance(expected, str | bytes)
    claims = jwt.decode(
        token,
        key.public_key(),
        ["PS256"],
        audience=URL,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    wanted = jwt.decode(expected, options={"verify_signature": False})
    assert claims.keys() - {"nbf"} == wanted.keys()
    assert [claims[n] for n in ("aud", "iss", "sub")] == [wanted[n] for n in ("aud", "iss", "sub")]
    assert claims["exp"] - claims["iat"] == 600
    mine, other = jwt.get_unverified_header(token), jwt.get_unverified_header(expected)
    assert mine["alg"] == other["alg"]
    assert mine["x5t#S256"] == other["x5t#S256"].rstrip("=")  # RFC 7515 has no padding, msal has


@pytest.mark.parametrize("through", ["variable", "credential"])
async def test_workload_identity_reads_its_file_each_time(through: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ey.one\n")
    now = [NOW]
    desks = Desks({f"POST {URL}": GOOD})
    if through == "variable":
        env = {**ENV, "AZURE_FEDERATED_TOKEN_FILE": str(path)}
        auth = scheme("azure_entra", PARAMS, desks, env=env, defaults=DEFAULTS, clock=lambda: now[0])
    else:
        given = {"tenant": "tenant-1", "client_id": "client-1", "token_file": str(path)}
        auth = scheme("azure_entra", PARAMS, desks, given=given, clock=lambda: now[0])
    assert auth.there() == "a federated token"
    await shown(auth)
    path.write_text("ey.second\n")
    now[0] += 3600
    await shown(auth)
    assert [desks.form(i)["client_assertion"] for i in (0, 1)] == ["ey.one", "ey.second"]


async def test_the_instances_managed_identity() -> None:
    instance = "http://169.254.169.254/metadata/identity/oauth2/token"
    body = {"access_token": "mi", "expires_in": "3599", "expires_on": str(int(NOW) + 3599)}
    desks = Desks({f"GET {instance}": answer(body)})
    auth = scheme("azure_entra", PARAMS, desks, env={"AZURE_CLIENT_ID": "user-assigned"}, defaults=DEFAULTS)
    assert "managed identity" in auth.there()
    assert await shown(auth) == "Bearer mi"
    assert desks.headers()["metadata"] == "true"
    assert parse_qs(urlsplit(desks.calls[0].url).query) == {
        "api-version": ["2018-02-01"], "resource": ["https://cognitiveservices.azure.com"],
        "client_id": ["user-assigned"],
    }  # fmt: skip


async def test_app_services_managed_identity() -> None:
    env = {"IDENTITY_ENDPOINT": "http://127.0.0.1:41/msi/token", "IDENTITY_HEADER": "h-canary"}
    desks = Desks(
        {"GET http://127.0.0.1:41/msi/token": answer({"access_token": "mi", "expires_on": NOW + 60})}
    )
    auth = scheme("azure_entra", PARAMS, desks, env=env, defaults=DEFAULTS)
    assert await shown(auth) == "Bearer mi"
    assert desks.headers()["x-identity-header"] == "h-canary"
    assert parse_qs(urlsplit(desks.calls[0].url).query)["api-version"] == ["2019-08-01"]


async def test_an_identity_endpoint_elsewhere_gets_nothing() -> None:
    env = {"IDENTITY_ENDPOINT": "https://evil.example/token", "IDENTITY_HEADER": "h-canary"}
    desks = Desks({})
    with pytest.raises(AuthFailed, match="no address of this machine"):
        await shown(scheme("azure_entra", PARAMS, desks, env=env, defaults=DEFAULTS))
    assert not desks.calls


async def test_entras_number_is_told_and_not_its_sentence() -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret 'canary'."}
    desks = Desks({f"POST {URL}": answer(body, 401)})
    auth = scheme("azure_entra", PARAMS, desks, env={**ENV, "AZURE_CLIENT_SECRET": "s"}, defaults=DEFAULTS)
    with pytest.raises(AuthFailed, match=r"\(401, invalid_client, AADSTS7000215\)") as found:
        await shown(auth)
    assert "canary" not in str(found.value)


@pytest.mark.parametrize(
    ("env", "params", "text"),
    [
        ({"AZURE_CLIENT_SECRET": "s", "AZURE_CLIENT_ID": "c"}, PARAMS, "no `tenant`"),
        ({"AZURE_CLIENT_SECRET": "s", "AZURE_TENANT_ID": "t"}, PARAMS, "no `client_id`"),
        ({}, {**PARAMS, "managed_identity": False}, "no `client_secret` or `certificate` or `token_file`"),
    ],
)
def test_what_is_missing_is_named(env: dict[str, str], params: dict[str, Any], text: str) -> None:
    with pytest.raises(SecretMissing, match=text):
        scheme("azure_entra", params, Desks({}), env=env, defaults=DEFAULTS).there()
