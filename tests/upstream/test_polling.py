"""A vendor that takes calls as jobs, over real sockets: asking, failing, calling off, where calls may go."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pulse import Pulse

from engine.plan.types import Call, Credential, Deployment
from engine.plan.values import Secret
from engine.plan.vendors import Facts
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.flow import HttpFlow
from engine.upstream.http import HttpUpstream
from engine.upstream.protocol import Ask, Whole
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect
from engine.wire.poll import BadPlaceError, _own


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
Scripted, chunk, head, whole = scripted.Scripted, scripted.chunk, scripted.head, scripted.whole

KEY = "sk-test-canary-0123456789"

DIALECT = """
can: [stream]
finish: {end: stop}
operations:
  chat:
    path: /jobs
    request: {write: {prompt: "${{ request.messages[0].content[0].text }}"}}
    response:
      read:
        choices:
          - index: 0
            native_finish_reason: end
            message: {role: assistant, content: [{type: text, text: "${{ body.output }}"}]}
    stream:
      read:
        options: {data: text}
        rules:
          - {when: name == "output", emit: {type: text, text: "${{ event.data }}"}}
          - {when: name == "error", error: "${{ event.data }}"}
          - {when: name == "done", emit: {type: finish, native_finish_reason: end}, end: true}
    poll:
      status: ${{ body.status }}
      pending: [starting, processing]
      succeeded: [succeeded]
      failed: [failed, canceled]
      at: {url: "${{ body.urls.get }}"}
      cancel: {path: "/jobs/${{ body.id }}/cancel"}
      stream: {url: "${{ body.urls.stream }}"}
      every: 1ms
      longest: 4ms
      timeout: 30s
errors:
  read: {message: "${{ body.error }}"}
  default: by_status
  rules: [{path: error, matches: "(?i)too many", class: rate_limited}]
"""

PROVIDER = """
dialect: openai_chat
auth: {bearer: env:KEY}
base_url: https://jobs.example/v1
headers: {x-team: blue}
"""


class Vendor:
    """Answers by path; `answers` gives the answers of a path in turn, the last again and again."""

    def __init__(self, answers: dict[str, list[bytes | Callable[[Any], Awaitable[None]]]]) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.heads: list[str] = []

    async def __call__(self, connection: Any) -> None:
        header, _, _ = connection.last.partition(b"\r\n\r\n")
        line, _, rest = header.decode().partition("\r\n")
        method, path, _ = line.split(" ")
        self.calls.append(f"{method} {path}")
        self.heads.append(rest.lower())
        turns = self.answers[path]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(answer, bytes):
            connection.send(answer)
        else:
            await answer(connection)


def told(code: int = 200, /, **body: Any) -> bytes:
    answer: bytes = whole(code, orjson.dumps(body))
    return answer


def job(url: str, status: str, **more: Any) -> bytes:
    urls = {"get": f"{url}/v1/jobs/7", "stream": f"{url}/v1/streams/7"}
    return told(201, id="7", status=status, urls=urls, **more)


def upstream(transport: DirectTransport, dialect: str = DIALECT) -> HttpUpstream:
    made, out = dialects.make_dialect(dialect)
    assert made is not None, list(map(str, out))
    provider, out = dialects.make_provider(PROVIDER)
    assert provider is not None, list(map(str, out))
    return HttpUpstream(provider, BoundDialect(made), transport, Secrets({"KEY": KEY}))


def ask(url: str) -> Ask:
    deployment = Deployment(
        name="job",
        provider="own",
        model="m",
        wire_model="m",
        region="global",
        base_url=url + "/v1",
        residency="global",
        credentials=(Credential("c", "own", {"secret": (Secret("env", "KEY"),)}, {}),),
        facts=Facts(),
        call=Call(),
    )
    request: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    return Ask(request, deployment, {}, None, connect_ms=20_000)


async def run(
    answers: Callable[[str], dict[str, list[Any]]], *, dialect: str = DIALECT
) -> tuple[Whole, Vendor]:
    """One whole call of a vendor."""
    vendor = Vendor({})
    transport = DirectTransport()
    async with Scripted(vendor) as server:
        vendor.answers = answers(server.url)
        made = upstream(transport, dialect)
        found = await made.whole(ask(server.url))
        await made.close()
        await transport.close()
    return found, vendor


def text_of(found: Whole) -> str:
    assert found.reply is not None, found.error
    return found.reply["choices"][0]["message"]["content"][0]["text"]


async def test_ask_until_it_has_ended() -> None:
    found, vendor = await run(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/jobs/7": [
                job(url, "processing"),
                job(url, "processing"),
                job(url, "succeeded", output="yes"),
            ],
        }
    )
    assert text_of(found) == "yes"
    assert vendor.calls == ["POST /v1/jobs", *["GET /v1/jobs/7"] * 3]
    assert all(f"authorization: bearer {KEY}" in each for each in vendor.heads)
    assert all("x-team: blue" in each for each in vendor.heads)
    assert "content-type" not in vendor.heads[1]


@pytest.mark.parametrize("answer", [{"status": "succeeded", "output": "now"}, {"output": "now"}])
async def test_an_answer_that_is_there_at_once(answer: dict[str, Any]) -> None:
    found, vendor = await run(lambda url: {"/v1/jobs": [told(**answer)]})
    assert text_of(found) == "now"
    assert vendor.calls == ["POST /v1/jobs"]


async def test_a_result_that_lies_elsewhere() -> None:
    dialect = DIALECT.replace(
        "      cancel:", '      result: {path: "/files/${{ body.file }}"}\n      cancel:'
    )
    found, _ = await run(
        lambda url: {
            "/v1/jobs": [job(url, "processing")],
            "/v1/jobs/7": [job(url, "succeeded", file="a/b ?")],
            "/v1/files/a%2Fb%20%3F": [told(output="fetched")],
        },
        dialect=dialect,
    )
    assert text_of(found) == "fetched"


FAILURES: dict[str, tuple[Callable[[str], dict[str, list[Any]]], str, str]] = {
    "the job failed": (
        lambda url: {"/v1/jobs": [job(url, "starting")], "/v1/jobs/7": [job(url, "failed", error="no GPU")]},
        "server",
        "no GPU",
    ),
    "the rules classify it": (
        lambda url: {"/v1/jobs": [job(url, "failed", error="Too many jobs")]},
        "rate_limited",
        "Too many jobs",
    ),
    "a status that nobody knows": (
        lambda url: {"/v1/jobs": [job(url, "paused")]},
        "server",
        "paused",
    ),
    "an address elsewhere": (
        lambda url: {"/v1/jobs": [told(id="7", status="starting", urls={"get": "https://evil.example/7"})]},
        "server",
        "`evil.example`, which is not the host that was called",
    ),
    "no address": (lambda url: {"/v1/jobs": [told(id="7", status="starting")]}, "server", "where to ask"),
    "refused while asking": (
        lambda url: {"/v1/jobs": [job(url, "starting")], "/v1/jobs/7": [told(403, error="no")]},
        "permission",
        "no",
    ),
    "broken for too long": (
        lambda url: {"/v1/jobs": [job(url, "starting")], "/v1/jobs/7": [told(503, error="busy")]},
        "overloaded",
        "busy",
    ),
    "not JSON while asking": (
        lambda url: {"/v1/jobs": [job(url, "starting")], "/v1/jobs/7": [whole(200, b"<p>", "text/html")]},
        "server",
        "not JSON",
    ),
    "refused at once": (lambda url: {"/v1/jobs": [told(401, error="who?")]}, "auth", "who?"),
}


@pytest.mark.parametrize(("answers", "failure", "words"), FAILURES.values(), ids=FAILURES)
async def test_failures(answers: Any, failure: str, words: str) -> None:
    found, vendor = await run(lambda url: {"/v1/jobs/7/cancel": [told()], **answers(url)})
    assert found.error is not None
    assert found.error["failure"] == failure
    assert words in found.error["message"]
    assert len(vendor.calls) <= 5


async def test_questions_that_fail_for_a_moment_are_asked_again() -> None:
    async def lost(connection: Any) -> None:
        connection.end()

    found, vendor = await run(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/jobs/7": [
                told(429),
                lost,
                job(url, "processing"),
                told(500),
                job(url, "succeeded", output="yes"),
            ],
        }
    )
    assert text_of(found) == "yes"
    assert len(vendor.calls) == 6


async def test_a_job_that_takes_too_long_is_called_off() -> None:
    found, vendor = await run(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/jobs/7": [job(url, "processing")],
            "/v1/jobs/7/cancel": [told()],
        },
        dialect=DIALECT.replace("timeout: 30s", "timeout: 300ms"),
    )
    assert found.error is not None
    assert (found.error["failure"], found.error["message"]) == ("timeout", "the job did not end within 0.3 s")
    assert vendor.calls[-1] == "POST /v1/jobs/7/cancel"


async def cancelled(cancel: list[Any], after: str) -> Vendor:
    """A call that is cancelled while its job runs, and an upstream that is closed then."""
    vendor = Vendor({})
    transport = DirectTransport()
    async with Scripted(vendor) as server:
        vendor.answers = {
            "/v1/jobs": [job(server.url, "starting")],
            "/v1/jobs/7": [job(server.url, "processing")],
            "/v1/jobs/7/cancel": cancel,
        }
        made = upstream(transport)
        task = asyncio.create_task(made.whole(ask(server.url)))
        while after not in vendor.calls:
            await asyncio.sleep(0.001)
        async with Pulse() as pulse:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pulse.seconds < 0.1  # whoever cancels does not wait for the vendor
            await asyncio.wait_for(made.close(), 30)
        await transport.close()
    return vendor


async def test_a_call_that_is_cancelled_calls_its_job_off() -> None:
    vendor = await cancelled([told()], "GET /v1/jobs/7")
    assert vendor.calls[-1] == "POST /v1/jobs/7/cancel"
    assert f"authorization: bearer {KEY}" in vendor.heads[-1]


async def test_calling_off_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.upstream.polling.CANCEL_S", 0.3)

    async def silent(_: Any) -> None:
        await asyncio.sleep(60)

    vendor = await cancelled([silent], "GET /v1/jobs/7")
    assert vendor.calls[-1] == "POST /v1/jobs/7/cancel"


# --- as a stream


def sse(*events: tuple[str, str]) -> bytes:
    parts = [chunk(f"event: {name}\ndata: {data}\n\n".encode()) for name, data in events]
    answer: bytes = head(200, "text/event-stream") + b"".join(parts)
    return answer


END = b"0\r\n\r\n"


async def flowing(
    answers: Callable[[str], dict[str, list[Any]]], *, leave: bool = False, dialect: str = DIALECT
) -> tuple[Any, Vendor]:
    """A streamed call: its events, or the whole answer that came instead."""
    vendor = Vendor({})
    transport = DirectTransport()
    async with Scripted(vendor) as server:
        vendor.answers = answers(server.url)
        made = upstream(transport, dialect)
        found: Any = await made.flow(ask(server.url))
        if isinstance(found, HttpFlow):
            flow, found = found, []
            async for piece in flow:
                found += piece.events
                if leave:
                    break
            await flow.close()
        await made.close()
        await transport.close()
    return found, vendor


async def test_a_job_followed_as_a_stream() -> None:
    found, vendor = await flowing(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/streams/7": [sse(("output", "Par"), ("output", "is"), ("done", "{}")) + END],
        }
    )
    assert [each["type"] for each in found] == ["text", "text", "finish", "usage"]
    assert vendor.calls == ["POST /v1/jobs", "GET /v1/streams/7"]
    assert "accept: text/event-stream" in vendor.heads[-1]


@pytest.mark.parametrize(
    ("stream", "last"),
    [
        (sse(("output", "Par")) + END, "error"),  # cut
        (sse(("output", "Par"), ("error", "Too many")) + END, "error"),
    ],
    ids=["cut", "failed"],
)
async def test_a_stream_that_fails_calls_its_job_off(stream: bytes, last: str) -> None:
    found, vendor = await flowing(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/streams/7": [stream],
            "/v1/jobs/7/cancel": [told()],
        }
    )
    assert found[-1]["type"] == last
    assert vendor.calls[-1] == "POST /v1/jobs/7/cancel"


async def test_a_client_that_leaves_calls_the_job_off() -> None:
    found, vendor = await flowing(
        lambda url: {
            "/v1/jobs": [job(url, "starting")],
            "/v1/streams/7": [sse(("output", "Par"))],
            "/v1/jobs/7/cancel": [told()],
        },
        leave=True,
    )
    assert [each["type"] for each in found] == ["text"]
    assert vendor.calls[-1] == "POST /v1/jobs/7/cancel"


async def test_a_job_that_has_ended_is_no_stream() -> None:
    found, vendor = await flowing(lambda url: {"/v1/jobs": [job(url, "succeeded", output="yes")]})
    assert text_of(found) == "yes"
    assert vendor.calls == ["POST /v1/jobs"]


async def test_without_a_stream_the_answer_comes_whole() -> None:
    dialect = "\n".join(line for line in DIALECT.splitlines() if "stream: {url" not in line)
    found, _ = await flowing(
        lambda url: {"/v1/jobs": [job(url, "starting")], "/v1/jobs/7": [job(url, "succeeded", output="yes")]},
        dialect=dialect,
    )
    assert text_of(found) == "yes"


async def test_another_host_is_shown_no_credential() -> None:
    async with Scripted(Vendor({"/s": [sse(("output", "a"), ("done", "{}")) + END]})) as other:
        vendor: Any = other.script
        found, _ = await flowing(
            lambda url: {
                "/v1/jobs": [told(201, id="7", status="starting", urls={"stream": f"{other.url}/s"})],
                "/v1/jobs/7/cancel": [told()],
            }
        )
        # Another port is another host, and no dialect can name one without TLS.
        assert found.error["failure"] == "server"
        assert "not the host that was called" in found.error["message"]
        assert vendor.calls == []


BASE = "https://api.example/v1"
HOSTS = ("stream.example", "*.files.example")


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://api.example/v1/jobs/7", True),
        ("https://API.example:443/other?x=1", True),
        ("https://stream.example/7", False),
        ("https://a.files.example/7", False),
        ("http://api.example/v1/jobs/7", None),
        ("https://api.example:8443/v1", None),
        ("https://api.example.evil/", None),
        ("https://files.example/", None),
        ("https://evilfiles.example/", None),
        ("http://stream.example/7", None),
        ("https://stream.example:8443/7", None),
        ("https://api.example@evil.example/", None),
        ("https://evil.example\\@api.example/", None),
        ("https://evil.example#@api.example/", None),
        ("https://api.example/\r\nx: y", None),
        ("https://xn--a.example/é", None),
        ("//api.example/7", None),
        ("file:///etc/passwd", None),
        ("https://127.0.0.1/", None),
        ("https://[::1", None),
        ("", None),
    ],
)
def test_where_calls_about_a_job_may_go(url: str, own: bool | None) -> None:
    if own is None:
        with pytest.raises(BadPlaceError):
            _own(url, BASE, HOSTS)
    else:
        assert _own(url, BASE, HOSTS) is own


# --- Replicate, by its own file


def replicate(transport: DirectTransport) -> HttpUpstream:
    provider, out = dialects.make_provider(PROVIDER)
    assert provider is not None, list(map(str, out))
    dialect = BoundDialect(dialects.shipped_dialect("replicate"))
    return HttpUpstream(provider, dialect, transport, Secrets({"KEY": KEY}))


def prediction(url: str, status: str, **more: Any) -> bytes:
    base = f"{url}/v1/predictions/p1"
    urls = {"get": base, "cancel": f"{base}/cancel", "stream": f"{url}/v1/streams/p1"}
    return told(201, id="p1", status=status, urls=urls, error=None, **more)


async def replicated(answers: Callable[[str], dict[str, list[Any]]], *, stream: bool) -> tuple[Any, Vendor]:
    vendor = Vendor({})
    transport = DirectTransport()
    async with Scripted(vendor) as server:
        vendor.answers = answers(server.url)
        made = replicate(transport)
        asked = ask(server.url)
        asked.deployment = replace(asked.deployment, wire_model="meta/llama")
        asked.stream = stream
        found: Any = await (made.flow(asked) if stream else made.whole(asked))
        if isinstance(found, HttpFlow):
            flow, found = found, []
            async for piece in flow:
                found += piece.events
            await flow.close()
        await made.close()
        await transport.close()
    return found, vendor


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr("engine.upstream.polling.asyncio.sleep", lambda _: real(0.001))


@pytest.mark.usefixtures("_quick")
async def test_a_prediction() -> None:
    metrics = {"input_token_count": 3, "output_token_count": 2}
    found, vendor = await replicated(
        lambda url: {
            "/v1/models/meta/llama/predictions": [prediction(url, "starting")],
            "/v1/predictions/p1": [
                prediction(url, "processing"),
                prediction(url, "succeeded", output=["Par", "is"], metrics=metrics),
            ],
        },
        stream=False,
    )
    assert text_of(found) == "Paris"
    assert found.reply["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert "prefer: wait" in vendor.heads[0]
    assert vendor.calls[1:] == ["GET /v1/predictions/p1"] * 2


async def test_a_prediction_followed() -> None:
    events = sse(("output", "Par"), ("output", "is"), ("done", "{}")) + END
    found, vendor = await replicated(
        lambda url: {
            "/v1/models/meta/llama/predictions": [prediction(url, "starting")],
            "/v1/streams/p1": [events],
        },
        stream=True,
    )
    assert "".join(each.get("text", "") for each in found) == "Paris"
    assert [each["type"] for each in found[-2:]] == ["finish", "usage"]
    assert "prefer" not in vendor.heads[0]
    assert vendor.calls == ["POST /v1/models/meta/llama/predictions", "GET /v1/streams/p1"]


async def test_a_prediction_that_failed() -> None:
    failed = told(201, id="p1", status="failed", error="CUDA out of memory")
    found, _ = await replicated(lambda url: {"/v1/models/meta/llama/predictions": [failed]}, stream=False)
    assert (found.error["failure"], found.error["message"]) == ("overloaded", "CUDA out of memory")
