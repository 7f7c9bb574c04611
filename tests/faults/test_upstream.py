"""The upstream faults of the matrix (U1 to U32): `upstream.yaml` row by row, over real sockets.

All rows share one gateway and one workspace, each with a route and a vendor's model of its own; after each
everything that it held is given back.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
import yaml
from harness import KEY, Gateway, Got, gateway, provider_file, write_files
from ports import free_port

from engine.bench.faults.provider import Provider
from engine.bench.faults.streams import ARGUMENTS
from engine.bench.faults.voices import TEXT, TOKENS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    id: str
    name: str
    asked: list[int]
    at: str = "vendor"
    primary: str = "ok"
    fallback: str | None = "ok"
    ask: list[str] = field(default_factory=lambda: ["whole", "stream"])
    shape: list[str] = field(default_factory=lambda: ["openai"])
    route: dict[str, Any] = field(default_factory=dict)
    own: bool = False  # a provider of its own: its credential will be refused for a while
    by: str | None = None
    text: str | None = None
    tools: str | None = None
    status: int | None = None
    code: str | None = None
    event: str | None = None
    tokens: int = 0
    failure: str | None = None
    attempts: int | None = None
    between: list[float] | None = None
    billed: bool = False
    estimated: bool | None = None
    model: str | None = None
    retry_after: int | None = None
    says: str | None = None
    holds: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)


#: So that what hangs fails a test in time. With them, what a client wants whole is streamed and collected.
SHORT = {"connect": "10s", "first_token": "20s", "idle": "20s"}

#: Places that do not speak OpenAI's format.
FORMATS = {"claude": {"dialect": "anthropic_messages"}}

CASES = [Case(**row) for row in yaml.safe_load(Path(__file__).with_name("upstream.yaml").read_text())]
RUNS = [
    pytest.param(
        number,
        ask,
        shape,
        id=f"{case.id} {case.name} ({ask}, {shape})",
    )
    for number, case in enumerate(CASES)
    for ask in case.ask
    for shape in case.shape
]


def route_of(number: int, ask: str, shape: str) -> str:
    """A route for each run: what one does to a deployment's health is nothing to the next."""
    return f"r{number}-{ask}-{shape}"


def workspace(folder: Path, places: dict[str, str]) -> Path:
    """A route for each run of each row, with its own models at its own place."""
    urls = dict(places)
    models: dict[str, dict[str, str]] = {place: {} for place in places}
    deployments, routes = {}, {}
    for number, ask, shape in (param.values for param in RUNS):
        case, route = CASES[number], route_of(number, ask, shape)
        chain = []
        for role, script, place in (("a", case.primary, case.at), ("b", case.fallback, "vendor")):
            if role == "a" and case.own:
                place = f"own-{route}"
                urls[place], models[place] = places["vendor"], {}
            if script is not None:
                name = f"{route}-{role}"
                models[place][name] = f"{script}#{name}"
                deployments[name] = {"provider": place, "model": name}
                chain.append(name)
        start = {"fallback": chain} if len(chain) > 1 else chain[0]
        routes[route] = {"start": start, **({} if ask == "plain" else {"timeout": SHORT}), **case.route}
    files: dict[str, Any] = {
        f"providers.d/{place}.yaml": provider_file(url, models[place], **FORMATS.get(place, {}))
        for place, url in urls.items()
    }
    defaults = {"retry": {"backoff": "20ms"}}
    files["routes/main.yaml"] = {"defaults": defaults, "deployments": deployments, "routes": routes}
    return write_files(folder, files)


def context(
    authority: trustme.CA, name: str = "127.0.0.1", expires: datetime | None = None
) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=expires).configure_cert(tls)
    return tls


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """The gateway before a vendor at each of the places that rows name."""
    known, stranger = trustme.CA(), trustme.CA()
    folder = tmp_path_factory.mktemp("faults")
    known.cert_pem.write_to_path(str(folder / "ca.pem"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    plain = context(known)
    vendors = {
        "vendor": Provider(quicker=0.1),
        "expired": Provider(tls=context(known, expires=yesterday)),
        "misnamed": Provider(tls=context(known, "api.example.com")),
        "unknown": Provider(tls=context(stranger)),
        "resetting": Provider("accept-reset", tls=plain),
        "mute": Provider("accept-silent", tls=plain),
        "garbling": Provider("accept-garbage"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_KEY", KEY)
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        async with contextlib.AsyncExitStack() as stack:
            for vendor in vendors.values():
                await stack.enter_async_context(vendor)
            places = {name: vendor.url for name, vendor in vendors.items()}
            places["claude"] = vendors["vendor"].url
            places["closed"] = f"http://127.0.0.1:{free_port()}"
            ws = workspace(folder / "ws", places)
            yield await stack.enter_async_context(gateway(ws, *vendors.values()))


@pytest.mark.parametrize(("number", "ask", "shape"), RUNS)
async def test_case(started: Gateway, number: int, ask: str, shape: str) -> None:
    case, route, stream = CASES[number], route_of(number, ask, shape), ask == "stream"
    async with started.baseline(records=1):
        got = await started.ask(route, stream=stream, shape=shape)
        check_answer(case, got, stream, shape)
    check_record(case, started, route, got)
    assert sum(vendor.trapped for vendor in started.providers) == 0
    vendor = started.providers[0]
    asked = [
        len([seen for seen in vendor.seen if seen.model.endswith(f"#{route}-{role}")]) for role in ("a", "b")
    ]
    if case.at not in ("vendor", "claude"):
        asked[0] = 0  # their own log is not looked at
    assert asked == case.asked


def check_answer(case: Case, got: Got, stream: bool, shape: str) -> None:
    """What the client got."""
    assert got.broken is None, got.broken
    for word in (*case.never, KEY):
        assert word not in got.data.decode(errors="replace")
        assert word not in str(got.headers)
    assert "set-cookie" not in got.headers
    if case.between is not None:
        assert case.between[0] <= got.seconds + 0.005
        assert got.loop_s <= case.between[1]
    if case.status is not None:
        assert (got.status, got.headers["content-type"]) == (case.status, "application/json")
        assert got.error is not None
        if shape == "openai":
            assert got.error["code"] == case.code, got.error
        if case.says is not None:
            assert case.says in got.error["message"]
        if case.retry_after is not None:
            assert abs(int(got.headers["retry-after"]) - case.retry_after) <= 1
        return
    assert got.status == 200, got.data
    if case.event is not None:
        assert got.text == "".join(TOKENS[: case.tokens])
        assert got.error is not None
        assert (got.finish, got.ended) == (None, False)
        if shape == "openai":
            assert got.error["code"] == case.event, got.error
        return
    assert got.error is None, got.error
    if case.tools is not None:
        assert arguments(got, shape) == ARGUMENTS[case.tools]
        return
    assert got.text == (TEXT if case.text is None else case.text)
    assert got.ended
    assert got.finish in ("stop", "end_turn")
    assert got.usage is not None or case.estimated  # in one piece it passes as it came
    for text in case.holds:
        assert text in got.data.decode()
    if case.model is not None:
        assert got.model == case.model


def check_record(case: Case, started: Gateway, route: str, got: Got) -> None:
    """What the engine tells of it."""
    record = started.last()
    assert record.model == route
    assert record.id == got.headers["x-engine-request-id"]
    assert (record.failure is None) == (got.error is None), record.failure
    first = record.attempts[0]
    assert first.failure == case.failure, (first.failure, first.message)
    if case.attempts is not None:
        assert len(record.attempts) == case.attempts
    if case.billed:
        assert first.closed == "settled"
        assert first.cost.total > 0
        assert first.estimated
    served = record.attempts[-1]
    if got.error is None:
        assert 0 <= served.cost.total <= served.reserved
        if case.estimated is not None:
            assert served.estimated == case.estimated


def arguments(got: Got, shape: str) -> list[str]:
    """The arguments of each tool call, put together."""
    calls: dict[int, str] = {}
    for event in got.events:
        if shape == "anthropic":
            if event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
                calls[event["index"]] = calls.get(event["index"], "") + event["delta"]["partial_json"]
            continue
        for choice in event.get("choices") or ():
            for call in (choice["delta"] or {}).get("tool_calls") or ():
                calls[call["index"]] = calls.get(call["index"], "") + call["function"].get("arguments", "")
    return [text for _, text in sorted(calls.items())]
