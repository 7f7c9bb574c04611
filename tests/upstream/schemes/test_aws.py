"""Where AWS keys come from: the order is botocore's; what is fetched is fetched as AWS describes it."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
import pytest
from botocore.credentials import (
    AssumeRoleProvider,
    AssumeRoleWithWebIdentityProvider,
    ContainerProvider,
    InstanceMetadataProvider,
)
from desks import NOW, Answer, Desks, answer, scheme

from engine.plan.values import Secret
from engine.upstream.auth import Authenticator
from engine.upstream.protocol import HttpCall, TransportError
from engine.upstream.schemes.aws_profiles import Profiles
from engine.upstream.schemes.aws_sources import (
    AssumeRole,
    Container,
    Instance,
    KeySource,
    Process,
    Static,
    WebIdentity,
    find,
)
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.sigv4 import AwsKeys, Signer
from engine.upstream.secrets import SecretMissing, Secrets

STS = "https://sts.eu-central-1.amazonaws.com/"
ROLE = "arn:aws:iam::1:role/x"
PARAMS = {"service": "bedrock", "region": "eu-central-1"}
URL = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse"

CONFIG = """
[default]
region = us-east-1
[profile plain]
aws_access_key_id = AKPLAIN
aws_secret_access_key = plain-secret
[profile roled]
role_arn = arn:aws:iam::1:role/x
source_profile = plain
external_id = ext
role_session_name = me
duration_seconds = 1800
[profile twice]
role_arn = arn:aws:iam::1:role/y
source_profile = roled
[profile self]
role_arn = arn:aws:iam::1:role/z
source_profile = self
aws_access_key_id = AKSELF
aws_secret_access_key = self-secret
[profile from-env]
role_arn = arn:aws:iam::1:role/e
credential_source = Environment
[profile web]
role_arn = arn:aws:iam::1:role/w
web_identity_token_file = /tmp/token
[profile process]
credential_process = /bin/keys --for me
[profile ring-a]
role_arn = arn:aws:iam::1:role/a
source_profile = ring-b
[profile ring-b]
role_arn = arn:aws:iam::1:role/b
source_profile = ring-a
[profile sso]
sso_session = s
[profile mfa]
role_arn = arn:aws:iam::1:role/m
source_profile = plain
mfa_serial = arn:aws:iam::1:mfa/me
[profile both]
aws_access_key_id = AKCONFIG
aws_secret_access_key = c
credential_process = /bin/keys
"""
SHARED = """
[default]
aws_access_key_id = AKSHARED
aws_secret_access_key = shared-secret
aws_session_token = shared-token
[both]
aws_access_key_id = AKCRED
aws_secret_access_key = b
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(SHARED)
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def source(env: dict[str, str], given: dict[str, str] | None = None) -> KeySource:
    places = {
        slot: (Secret("env", text[4:]),) for slot, text in (given or {}).items() if text.startswith("env:")
    }
    plain = {slot: text for slot, text in (given or {}).items() if slot not in places}
    return find(Given(Secrets(env), places, plain, explicit=given is not None), Profiles(env))


ENV_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKENV",
    "AWS_SECRET_ACCESS_KEY": "env-secret",
    "AWS_SESSION_TOKEN": "env-token",
}
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/tmp/token", "AWS_ROLE_ARN": ROLE}
ECS = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}
NO_FILES = {"AWS_CONFIG_FILE": "/nowhere/c", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/s"}

#: Environments beside the files: what wins there is botocore's to say.
ORDER: dict[str, dict[str, str]] = {
    "all": {**ENV_KEYS, **WEB, **ECS, "AWS_PROFILE": "roled"},
    "keys over a profile": {**ENV_KEYS, "AWS_PROFILE": "plain"},
    "role over web identity": {**WEB, **ECS, "AWS_PROFILE": "roled"},
    "web identity over keys of a profile": {**WEB, **ECS, "AWS_PROFILE": "plain"},
    "web identity of a profile": {**ECS, "AWS_PROFILE": "web"},
    "shared keys": {**ECS},
    "keys of config": {**ECS, "AWS_PROFILE": "plain"},
    "the other name of the variable": {**ECS, "AWS_DEFAULT_PROFILE": "plain"},
    "process": {**ECS, "AWS_PROFILE": "process"},
    "shared keys over process and config": {**ECS, "AWS_PROFILE": "both"},
    "self": {**ECS, "AWS_PROFILE": "self"},
    "container": {**ECS, **NO_FILES},
    "web identity alone": {**WEB, **NO_FILES},
    "instance": {**NO_FILES},
}


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """botocore without a network: what would fetch says who it is instead."""
    for name in [n for n in __import__("os").environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    ran = {"access_key": "AKPROCESS", "secret_key": "s", "token": None, "expiry_time": None}
    with (
        mock.patch.object(ContainerProvider, "load", lambda self: _who(self, ContainerProvider)),
        mock.patch.object(InstanceMetadataProvider, "load", return_value=_Who("instance")),
        mock.patch("botocore.credentials.ProcessProvider._retrieve_credentials_using", return_value=ran),
    ):
        yield


class _Who:
    def __init__(self, method: str) -> None:
        self.method = method
        self.access_key = None


def _who(provider: Any, kind: Any) -> _Who | None:
    return _Who("container") if kind.ENV_VAR in provider._environ else None


@pytest.mark.parametrize("name", ORDER)
def test_the_order_is_botocores(
    name: str, files: dict[str, str], theirs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {**files, **ORDER[name]}
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    found = botocore.session.Session().get_credentials()
    ours = source(env)
    kinds: dict[str, type] = {
        "env": Static, "shared-credentials-file": Static, "config-file": Static, "custom-process": Process,
        AssumeRoleProvider.METHOD: AssumeRole, AssumeRoleWithWebIdentityProvider.METHOD: WebIdentity,
        "container": Container, "instance": Instance,
    }  # fmt: skip
    assert type(ours) is kinds[found.method]
    if isinstance(ours, Static):
        assert (ours.keys.access, ours.keys.secret, ours.keys.token) == (
            found.access_key, found.secret_key, found.token,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "env", "expected"),
    [
        (
            {"profile": "plain"},
            ENV_KEYS,
            Static(AwsKeys("AKPLAIN", "plain-secret"), "the AWS profile `plain`"),
        ),
        (
            {"profile": "roled"},
            {},
            AssumeRole(
                ROLE, Static(AwsKeys("AKPLAIN", "plain-secret"), "the AWS profile `plain`"), "me", "ext", 1800
            ),
        ),
        (
            {"profile": "self"},
            {},
            AssumeRole(
                "arn:aws:iam::1:role/z", Static(AwsKeys("AKSELF", "self-secret"), "the AWS profile `self`")
            ),
        ),
        (
            {"profile": "from-env"},
            ENV_KEYS,
            AssumeRole(
                "arn:aws:iam::1:role/e",
                Static(AwsKeys("AKENV", "env-secret", "env-token"), "the environment's keys"),
            ),
        ),
        ({"role": ROLE, "token_file": "/t", "session_name": "s"}, ENV_KEYS, WebIdentity(ROLE, "/t", "s")),
        (
            {"role": ROLE, "access_key": "env:A", "secret_key": "env:B", "external_id": "e"},
            {"A": "AK", "B": "sec", **ENV_KEYS},
            AssumeRole(ROLE, Static(AwsKeys("AK", "sec"), "the credential's keys"), None, "e"),
        ),
        (
            {"role": ROLE},
            ENV_KEYS,
            AssumeRole(ROLE, Static(AwsKeys("AKENV", "env-secret", "env-token"), "the environment's keys")),
        ),
        (
            {"profile": "twice"},
            {},
            AssumeRole(
                "arn:aws:iam::1:role/y",
                AssumeRole(
                    ROLE,
                    Static(AwsKeys("AKPLAIN", "plain-secret"), "the AWS profile `plain`"),
                    "me",
                    "ext",
                    1800,
                ),
            ),
        ),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_a_credential_decides(
    given: dict[str, str], env: dict[str, str], expected: KeySource, files: dict[str, str]
) -> None:
    assert source({**files, **env}, given) == expected


@pytest.mark.parametrize(
    ("given", "env", "text"),
    [
        ({"profile": "nobody"}, ENV_KEYS, "no file has the AWS profile `nobody`"),
        ({"profile": "ring-a"}, {}, "leads back to itself"),
        ({"profile": "sso"}, {}, "SSO is not supported"),
        ({"profile": "mfa"}, {}, "mfa_serial"),
        ({"profile": "from-env"}, {}, "has its keys from Environment, where none are"),
        ({"token_file": "/t"}, {}, "no `role`"),
        ({"access_key": "env:A"}, {"A": "x"}, "no `secret_key`"),
        (None, {"AWS_ACCESS_KEY_ID": "x"}, "AWS_SECRET_ACCESS_KEY is not"),
        (None, {"AWS_PROFILE": "nobody", **WEB}, "AWS_PROFILE names the profile `nobody`"),
        (None, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", **NO_FILES}, "AWS_ROLE_ARN is not set"),
        (None, {"AWS_EC2_METADATA_DISABLED": "true", **NO_FILES}, "no AWS credentials"),
    ],
)
def test_what_is_missing_is_named(
    given: dict[str, str] | None, env: dict[str, str], text: str, files: dict[str, str]
) -> None:
    with pytest.raises(SecretMissing, match=text):
        source({**files, **env}, given)


# --- fetched


async def signed(auth: Authenticator) -> dict[str, str]:
    if not auth.ready():
        await auth.prepare()
    return dict(auth.sign("POST", URL, (("content-type", "application/json"),), b"{}"))


def xml(action: str, key: str = "ASIASTS") -> bytes:
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s/e+c==</SecretAccessKey>"
        "<SessionToken>tok&amp;en==</SessionToken><Expiration>2026-09-21T15:13:20Z</Expiration>"
        f"</Credentials></{action}Result></{action}Response>"
    ).encode()


async def test_a_role_is_asked_for_with_signed_keys(files: dict[str, str]) -> None:
    desks = Desks({f"POST {STS}": answer(xml("AssumeRole"))})
    auth = scheme("aws_sigv4", PARAMS, desks, env=files, given={"profile": "roled"})
    headers = await signed(auth)
    assert "Credential=ASIASTS/20260921/eu-central-1/bedrock/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "tok&en=="
    assert desks.form() == {
        "Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE, "RoleSessionName": "me",
        "ExternalId": "ext", "DurationSeconds": "1800",
    }  # fmt: skip
    call = desks.calls[0]
    bare = [(n, v) for n, v in call.headers if n in ("accept", "user-agent", "content-type")]
    asked = [h for h in bare if h[0] == "content-type"]
    again = Signer("sts", "eu-central-1").sign(
        "POST", STS, asked, call.body, AwsKeys("AKPLAIN", "plain-secret"), NOW
    )
    assert dict(again)["authorization"] == desks.headers()["authorization"]


async def test_a_web_identitys_token_is_read_for_each_fetch(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ey.one")
    now = [NOW]
    url = "https://sts.example/"
    desks = Desks({f"POST {url}": lambda _: answer(xml("AssumeRoleWithWebIdentity"))})
    env = {**NO_FILES, "AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "AWS_ROLE_ARN": ROLE}
    auth = scheme(
        "aws_sigv4", {**PARAMS, "sts_url": "https://sts.example"}, desks, env=env, clock=lambda: now[0]
    )
    assert auth.there() == "a web identity token"
    await signed(auth)
    path.write_text("ey.second")
    now[0] += 4000
    await signed(auth)
    assert [desks.form(i)["WebIdentityToken"] for i in (0, 1)] == ["ey.one", "ey.second"]
    assert "authorization" not in desks.headers()
    assert desks.form()["RoleSessionName"].startswith("llm-runner-router-")


async def test_sts_refuses_with_its_code_only() -> None:
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>canary</Message></Error></ErrorResponse>"
    desks = Desks({f"POST {STS}": answer(body, 403)})
    env = {**ENV_KEYS, **NO_FILES}
    auth = scheme("aws_sigv4", PARAMS, desks, env=env, given={"role": ROLE})
    with pytest.raises(AuthFailed, match=r"refused the credential \(403, AccessDenied\)$") as found:
        await signed(auth)
    assert found.value.failure == "auth"


@pytest.mark.parametrize("kind", ["ecs", "eks"])
async def test_a_containers_endpoint(kind: str, tmp_path: Path) -> None:
    keys = {
        "AccessKeyId": "ASIAC",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": "2026-09-21T15:13:20Z",
    }
    (tmp_path / "token").write_text("pod-token")
    url, env, sent = {
        "ecs": ("http://169.254.170.2/v2/x", ECS, None),
        "eks": (
            "http://169.254.170.23/v1/credentials",
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
            },
            "pod-token",
        ),
    }[kind]
    desks = Desks({f"GET {url}": answer(keys)})
    headers = await signed(scheme("aws_sigv4", PARAMS, desks, env={**NO_FILES, **env}))
    assert "Credential=ASIAC/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "t"
    assert desks.headers().get("authorization") == sent


@pytest.mark.parametrize(
    "env",
    [
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://evil.example/x",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "c",
        },
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://10.0.0.1"},
    ],
)
async def test_an_endpoint_elsewhere_is_not_asked(env: dict[str, str]) -> None:
    desks = Desks({})
    with pytest.raises(AuthFailed, match="no address of this machine"):
        await signed(scheme("aws_sigv4", PARAMS, desks, env={**NO_FILES, **env}))
    assert not desks.calls


IMDS = "http://169.254.169.254/latest"


async def test_the_instances_metadata_version_2() -> None:
    keys = {
        "AccessKeyId": "ASIAI",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": "2026-09-21T15:13:20Z",
    }
    roles = f"GET {IMDS}/meta-data/iam/security-credentials/"
    desks = Desks({
        f"PUT {IMDS}/api/token": answer(b"session"), roles: answer(b"my-role"),
        f"{roles}my-role": answer(keys),
    })  # fmt: skip
    headers = await signed(scheme("aws_sigv4", PARAMS, desks, env=NO_FILES))
    assert "Credential=ASIAI/" in headers["authorization"]
    assert desks.headers(0)["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    assert [desks.headers(i)["x-aws-ec2-metadata-token"] for i in (1, 2)] == ["session"] * 2


@pytest.mark.parametrize(
    ("reply", "failure", "text"),
    [
        (
            TransportError("connect", "no connection"),
            "connect",
            "the instance's metadata service: no connection",
        ),
        (answer(b"", 404), "auth", "no role for this instance"),
        (answer(b"", 403), "auth", "refused"),
        (answer(b""), "server", "empty"),
        (Answer(301, b""), "server", "redirect"),
    ],
)
async def test_no_instance(reply: Any, failure: str, text: str) -> None:
    desks = Desks({f"PUT {IMDS}/api/token": reply})
    with pytest.raises(AuthFailed, match=text) as found:
        await signed(scheme("aws_sigv4", PARAMS, desks, env=NO_FILES))
    assert found.value.failure == failure


@pytest.mark.parametrize(
    ("code", "failure", "text"),
    [
        ('print(\'{"Version": 1, "AccessKeyId": "AKP", "SecretAccessKey": "s"}\')', None, ""),
        ("import sys; print('canary', file=sys.stderr); sys.exit(3)", "auth", "ended with 3"),
        ("print('canary')", "auth", "no version 1"),
        ("print('{\"Version\": 1}')", "server", "no keys"),
    ],
)
async def test_a_credential_process(code: str, failure: str | None, text: str, tmp_path: Path) -> None:
    script = tmp_path / "keys.py"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "config").write_text(f"[profile p]\ncredential_process = {script} --x\n")
    env = {**NO_FILES, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    auth = scheme("aws_sigv4", PARAMS, Desks({}), env=env, given={"profile": "p"})
    if failure is None:
        assert "Credential=AKP/" in (await signed(auth))["authorization"]
        return
    with pytest.raises(AuthFailed, match=text) as found:
        await signed(auth)
    assert found.value.failure == failure
    assert "canary" not in str(found.value)


async def test_changed_keys_are_used_from_the_next_call_on(files: dict[str, str]) -> None:
    auth = scheme("aws_sigv4", PARAMS, Desks({}), env=files)
    assert "AKSHARED" in (await signed(auth))["authorization"]
    path = Path(files["AWS_SHARED_CREDENTIALS_FILE"])
    path.write_text(path.read_text().replace("AKSHARED", "AKROTATED"))
    assert "AKROTATED" in (await signed(auth))["authorization"]


async def test_keys_of_a_role_are_had_anew_where_the_keys_under_it_change(files: dict[str, str]) -> None:
    def sts(call: HttpCall) -> Answer:
        found = dict(call.headers)["authorization"]
        return answer(xml("AssumeRole", "ASIAOLD" if "AKPLAIN" in found else "ASIANEW"))

    desks = Desks({f"POST {STS}": sts})
    auth = scheme("aws_sigv4", PARAMS, desks, env=files, given={"profile": "roled"})
    assert "ASIAOLD" in (await signed(auth))["authorization"]
    path = Path(files["AWS_CONFIG_FILE"])
    path.write_text(path.read_text().replace("AKPLAIN", "AKPLAIM2"))
    assert "ASIANEW" in (await signed(auth))["authorization"]
    assert len(desks.calls) == 2


def test_without_a_region_it_says_so() -> None:
    with pytest.raises(SecretMissing, match="no AWS region"):
        scheme("aws_sigv4", {"service": "bedrock"}, Desks({}), env=ENV_KEYS).there()
