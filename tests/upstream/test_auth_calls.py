"""Schemes end to end: a compiled provider file, a token server and a vendor on loopback, each transport."""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import logging
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import orjson
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from engine.compiler.lower_auth import default_credential
from engine.plan.codec import canonical, decode
from engine.plan.types import Call, Credential, Deployment
from engine.plan.values import Secret
from engine.plan.vendors import Facts, Provider
from engine.upstream.aiohttp_transport import AiohttpTransport
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.http import HttpFlow, HttpUpstream
from engine.upstream.httpx_transport import HttpxTransport
from engine.upstream.protocol import Ask, Transport
from engine.upstream.secrets import Secrets


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


scripted = _load("scripted", Path(__file__).with_name("scripted.py"))
dialects = _load("dialects", Path(__file__).parents[1] / "wire" / "dialects.py")

ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
CANARY = "canary-5e14193"
ENV = {
    "CLIENT": "router", "SECRET": CANARY, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": "session-" + CANARY,
}  # fmt: skip
OAUTH = """
  oauth2_client_credentials:
    token_url: URL/oidc/${{ region }}/token
    client_id: env:CLIENT
    client_secret: env:SECRET
"""
SIGV4 = "\n  aws_sigv4: {service: bedrock}\n"
ANY = "\n  - {bearer: env:AWS_BEARER_TOKEN_BEDROCK}\n  - {aws_sigv4: {service: bedrock}}\n"


class Vendor:
    """A token server and a vendor in one. tokens: paths asked for; calls: heads and bodies of calls."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.calls: list[tuple[str, bytes]] = []
        self.status: dict[str, int] = {}
        self.hold = asyncio.Event()
        self.hold.set()

    async def script(self, connection: Any) -> None:
        head, _, body = connection.last.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        kind = "token" if path.startswith("/oidc") else "call"
        status = self.status.get(kind, 200)
        if kind == "token":
            await self.hold.wait()
            self.tokens.append(path)
            answer: Any = {"access_token": f"{CANARY}-{len(self.tokens)}", "expires_in": 3600}
        else:
            self.calls.append((head.decode(), body))
            answer = ANSWER
        if status != 200:
            answer = {"error": {"message": "no"}, "echo": head.decode()}
        location = ["location: http://127.0.0.1:1/"] if status == 302 else []
        connection.send(scripted.whole(status, orjson.dumps(answer), "application/json", *location))

    def shown(self) -> list[str]:
        return [headers(head)["authorization"] for head, _ in self.calls]


def headers(head: str) -> dict[str, str]:
    rows = (row.partition(": ") for row in head.split("\r\n")[1:])
    return {name.lower(): value for name, _, value in rows}


MAKERS: dict[str, Any] = {
    "direct": DirectTransport,
    "aiohttp": AiohttpTransport,
    "httpx": lambda: HttpxTransport(httpx.AsyncHTTPTransport()),
}


class Bench:
    def __init__(self, url: str, vendor: Vendor, transport: Transport) -> None:
        self.url, self.vendor, self.transport = url, vendor, transport
        self.made: list[HttpUpstream] = []

    def upstream(self, auth: str, env: dict[str, str] | None = None) -> HttpUpstream:
        self.provider = self.compiled(auth)
        made = HttpUpstream(
            self.provider, dialects.bound(), self.transport, Secrets(ENV if env is None else env)
        )
        self.made.append(made)
        return made

    def compiled(self, auth: str) -> Provider:
        """The provider, as it comes out of a plan's JSON."""
        text = f"dialect: openai_chat\nbase_url: {self.url}/v1\nauth:{auth.replace('URL', self.url)}"
        provider, out = dialects.make_provider(text, "acme")
        assert provider is not None, list(map(str, out))
        import json

        found = decode(Provider, json.loads(canonical(provider)))
        assert canonical(found) == canonical(provider)
        return found

    def ask(self, credential: Credential | None = None, *, path: str = "/v1", name: str = "gpt") -> Ask:
        shown = credential or default_credential(self.provider.auth, "acme")
        assert shown is not None
        deployment = Deployment(
            name=name, provider="acme", model="m", wire_model="m", region="eu-central-1",
            base_url=self.url + path, residency="eu", credentials=(shown,), facts=Facts(), call=Call(),
        )  # fmt: skip
        body = {"model": "assistant", "messages": [{"role": "user", "content": "hé"}]}
        request = dialects.bound().read_request("chat", body, {})
        return Ask(request, deployment, {}, None, dialect="openai_chat", body=body, credential=shown)


@pytest.fixture(params=list(MAKERS))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    vendor = Vendor()
    async with scripted.Scripted(vendor.script) as server:
        transport = MAKERS[request.param]()
        bench = Bench(server.url, vendor, transport)
        yield bench
        for upstream in bench.made:
            await upstream.close()
        await transport.close()


async def test_one_token_for_all_deployments_and_calls(bench: Bench) -> None:
    upstream = bench.upstream(OAUTH)
    bench.vendor.hold.clear()
    calls = [asyncio.create_task(upstream.whole(bench.ask(name=f"d{n % 3}"))) for n in range(12)]
    await asyncio.sleep(0.05)
    bench.vendor.hold.set()
    assert [whole.error for whole in await asyncio.gather(*calls)] == [None] * 12
    assert bench.vendor.tokens == ["/oidc/eu-central-1/token"]
    assert set(bench.vendor.shown()) == {f"Bearer {CANARY}-1"}


async def test_a_stream_waits_for_its_token_too(bench: Bench) -> None:
    upstream = bench.upstream(OAUTH)
    found = await upstream.flow(bench.ask())
    assert not isinstance(found, HttpFlow), "a vendor that answers whole"
    assert bench.vendor.shown() == [f"Bearer {CANARY}-1"]


async def test_a_refused_token_fails_the_call_and_the_next_gets_a_new_one(bench: Bench) -> None:
    upstream = bench.upstream(OAUTH)
    with mock.patch("engine.upstream.schemes.tokens.YOUNG_S", 0.0):
        bench.vendor.status["call"] = 401
        first = await upstream.whole(bench.ask())
        bench.vendor.status.clear()
        second = await upstream.whole(bench.ask())
    assert first.error is not None
    assert first.error["failure"] == "auth"
    assert second.error is None
    assert bench.vendor.shown() == [f"Bearer {CANARY}-1", f"Bearer {CANARY}-2"], "no hidden second try"


@pytest.mark.parametrize(
    ("status", "failure"),
    [(401, "auth"), (400, "auth"), (302, "server"), (503, "server"), (429, "rate_limited")],
)
async def test_no_token_is_a_failure_of_the_call(
    bench: Bench, status: int, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = bench.upstream(OAUTH)
    bench.vendor.status["token"] = status
    with caplog.at_level(logging.DEBUG, "engine"):
        found = await upstream.whole(bench.ask())
    assert found.error is not None
    assert found.error["failure"] == failure
    assert found.error["message"].startswith("gpt: the token endpoint ")
    assert not bench.vendor.calls
    assert CANARY not in f"{found.error} {caplog.text} {vars(upstream)}"


async def test_no_token_server(bench: Bench) -> None:
    upstream = bench.upstream(OAUTH.replace("URL", "http://127.0.0.1:9"))
    found = await upstream.whole(bench.ask())
    assert found.error is not None
    assert found.error["failure"] == "connect"


def verified(head: str, body: bytes, url: str) -> None:
    """The signature that botocore makes of what arrived."""
    sent = headers(head)
    method, path, _ = head.split("\r\n")[0].split(" ")
    signed = re.search("SignedHeaders=([^,]+)", sent["authorization"])
    assert signed is not None
    kept = {n: sent[n] for n in signed[1].split(";") if n not in ("x-amz-date", "x-amz-security-token")}
    moment = datetime.datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    request = AWSRequest(method=method, url=url + path, headers=kept, data=body)
    keys = Credentials("AKIDTEST", CANARY, "session-" + CANARY)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        SigV4Auth(keys, "bedrock", "eu-central-1").add_auth(request)
    assert request.headers["Authorization"] == sent["authorization"]


@pytest.mark.parametrize("path", ["/v1", "/model/anthropic.claude%3A0/x%2Fy", "/a~b"])
async def test_what_arrives_bears_a_signature_that_holds(bench: Bench, path: str) -> None:
    """The path, the host and the body on the wire are those that were signed, whatever the transport."""
    upstream = bench.upstream(SIGV4)
    assert (await upstream.whole(bench.ask(path=path))).error is None
    verified(*bench.vendor.calls[0], bench.url)


async def test_of_several_schemes_the_first_that_is_there(bench: Bench) -> None:
    env = dict(ENV)
    upstream = bench.upstream(ANY, env)
    assert (await upstream.whole(bench.ask())).error is None
    env["AWS_BEARER_TOKEN_BEDROCK"] = "ABSK"
    assert (await upstream.whole(bench.ask())).error is None
    verified(*bench.vendor.calls[0], bench.url)
    assert bench.vendor.shown()[1] == "Bearer ABSK"
    assert "x-amz-date" not in headers(bench.vendor.calls[1][0])


async def test_a_credential_chooses_its_scheme(bench: Bench) -> None:
    upstream = bench.upstream(ANY, {**ENV, "AWS_BEARER_TOKEN_BEDROCK": "ABSK", "MINE": "mine"})
    places = {"access_key": (Secret("env", "AWS_ACCESS_KEY_ID"),), "secret_key": (Secret("env", "SECRET"),)}
    keys = Credential("keys", "acme", places, {})
    mine = Credential("mine", "acme", {"secret": (Secret("env", "MINE"),)}, {})
    for credential in (keys, mine):
        assert (await upstream.whole(bench.ask(credential))).error is None
    assert bench.vendor.shown()[0].startswith("AWS4-HMAC-SHA256 Credential=AKIDTEST/")
    assert bench.vendor.shown()[1] == "Bearer mine"


async def test_nothing_there_names_all_that_was_looked_for(bench: Bench) -> None:
    upstream = bench.upstream(ANY, {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"})
    found = await upstream.whole(bench.ask())
    assert found.error is not None
    assert found.error["failure"] == "auth"
    assert "AWS_BEARER_TOKEN_BEDROCK is not set; no AWS credentials" in found.error["message"]


@pytest.mark.parametrize("auth", [OAUTH, SIGV4, ANY], ids=["oauth", "sigv4", "any"])
async def test_a_preview_asks_nobody_and_shows_nothing(bench: Bench, auth: str) -> None:
    shown = bench.upstream(auth).preview(bench.ask())
    assert shown["headers"]["authorization"] == "***"
    assert CANARY not in str(shown)
    assert not bench.vendor.tokens
