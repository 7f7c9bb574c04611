"""Fetching what a client names by URL: where it may go, over real sockets, and what comes of it."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from engine.plan.types import Call, Deployment, MediaFetch
from engine.plan.vendors import Facts, Inline
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.http import HttpUpstream
from engine.upstream.inline import inlined
from engine.upstream.media import MediaFetcher, NotFetchedError
from engine.upstream.protocol import Ask, Whole
from engine.upstream.public_address import is_public
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect


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
Scripted, head, whole = scripted.Scripted, scripted.head, scripted.whole

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
PDF = b"%PDF-1.7 x"
HOSTS = ("images.example", "*.cdn.example")

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "2a00:1450:4001::1"]
PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "192.88.99.1", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001::1",
    "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "100::1", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    assert not is_public(address)


def rules(*hosts: str, http: bool = True, timeout_ms: int = 20_000) -> MediaFetch:
    return MediaFetch(hosts or HOSTS, http, timeout_ms)


class Names:
    """A resolver of the test's own. `asked` are the names that were looked up."""

    def __init__(self, *answers: list[str], port: int = 0) -> None:
        self.answers = list(answers)
        self.port = port
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        loop = asyncio.get_running_loop()
        found: list[tuple[Any, ...]] = []
        for address in addresses:
            found += await loop.getaddrinfo(address, self.port or port, type=1)
        return found


def sends(*answers: bytes) -> Any:
    """Answers in turn, the last again and again; keeps what was asked."""
    turns = list(answers)

    async def script(connection: Any) -> None:
        connection.send(turns.pop(0) if len(turns) > 1 else turns[0])

    return script


@asynccontextmanager
async def fetching(
    script: Any, *, loopback: bool = True, **options: Any
) -> AsyncIterator[tuple[MediaFetcher, Any]]:
    """A fetcher whose every name is a server on loopback. loopback: it may be called."""
    async with Scripted(script) as server:
        more = {"public": lambda _: True} if loopback else {}
        made = MediaFetcher(
            options.pop("rules", rules()),
            resolve=options.pop("resolve", Names(["127.0.0.1"], port=server.port)),
            **more,
            **options,
        )
        try:
            yield made, server
        finally:
            await made.close()


def image(data: bytes = PNG, kind: str = "image/png") -> bytes:
    answer: bytes = whole(200, data, kind)
    return answer


async def test_an_image() -> None:
    async with fetching(sends(image())) as (made, server):
        found = await made.fetch("http://images.example/a.png?x=1", 1000, image=True)
        assert (found.data, found.media_type) == (PNG, "image/png")
        asked = server.connections[0].last.decode().lower()
        assert asked.startswith("get /a.png?x=1 http/1.1\r\nhost: images.example\r\n")
        assert "authorization" not in asked
        assert "cookie" not in asked


KINDS: list[tuple[str, bytes, str, bool, str | None, str | None]] = [
    ("by its bytes", PNG, "binary/octet-stream", True, None, "image/png"),
    ("jpeg", b"\xff\xd8\xff\xe0", "image/jpeg", True, None, "image/jpeg"),
    ("gif", b"GIF89a..", "image/gif", True, None, "image/gif"),
    ("webp", b"RIFF0000WEBPVP8 ", "image/webp", True, None, "image/webp"),
    ("a page that says it is an image", b"<html>", "image/png", True, None, None),
    ("an svg", b"<svg/>", "image/svg+xml", True, None, None),
    ("a pdf as an image", PDF, "image/png", True, None, None),
    ("a pdf", PDF, "application/octet-stream", False, None, "application/pdf"),
    ("a page that says it is a pdf", b"<html>", "application/pdf", False, None, None),
    ("a text", b"hi", "text/plain; charset=utf-8", False, None, "text/plain"),
    ("a page", b"<html>", "text/html", False, None, None),
    ("a page that was meant", b"<html>", "text/html", False, "text/html", "text/html"),
    ("an image as a document", PNG, "image/png", False, None, None),
]


@pytest.mark.parametrize(
    ("data", "declared", "is_image", "said", "want"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)
async def test_what_lies_there(
    data: bytes, declared: str, is_image: bool, said: str | None, want: str | None
) -> None:
    async with fetching(sends(image(data, declared))) as (made, _):
        fetched = made.fetch("http://images.example/", 1000, image=is_image, said=said)
        if want is None:
            with pytest.raises(NotFetchedError, match="what lies there is not") as error:
                await fetched
            assert "<html>" not in str(error.value)
        else:
            assert (await fetched).media_type == want


REFUSED_URLS = [
    "http://other.example/a.png", "http://cdn.example/", "http://evilcdn.example/", "http://images.example.evil/",
    "http://images.example@evil.example/", "http://user:pass@images.example/", "http://evil.example\\@images.example/",
    "http://images.example:8080/", "http://images.example/ x", "http://images.example/\r\nx: y", "http://[::1/",
    "http://images.example:99999/", "ftp://images.example/", "file:///etc/passwd", "gopher://images.example/",
    "//images.example/", "http:///a", "http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0/",
    "http://[::ffff:127.0.0.1]/", "http://ⅰmages.example/", "http://images.example/" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED_URLS)
async def test_urls_that_may_not_be_fetched(url: str) -> None:
    async with fetching(sends(image())) as (made, server):
        with pytest.raises(NotFetchedError):
            await made.fetch(url, 1000, image=True)
        assert server.connections == []


async def test_names_below_one() -> None:
    async with fetching(sends(image())) as (made, _):
        assert await made.fetch("http://a.b.cdn.example/", 1000, image=True)


async def test_http_only_where_it_is_allowed() -> None:
    async with fetching(sends(image()), rules=rules(http=False)) as (made, server):
        with pytest.raises(NotFetchedError, match="only https"):
            await made.fetch("http://images.example/", 1000, image=True)
        assert server.connections == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::ffff:7f00:1]/",
        "http://localhost/",
    ],
)
async def test_any_host_is_any_public_host(url: str) -> None:
    """The system's own resolver, which reads every way to write an address."""
    async with Scripted(sends(image())) as server:
        made = MediaFetcher(rules("*"), any_port=True)
        with pytest.raises(NotFetchedError, match="not public"):
            await made.fetch(url.rstrip("/") + f":{server.port}/", 1000, image=True)
        await made.close()
        assert server.connections == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::1"], []]
)
async def test_a_name_with_an_address_inside_is_not_called(addresses: list[str]) -> None:
    names = Names(addresses)
    async with fetching(sends(image()), loopback=False, resolve=names) as (made, server):
        with pytest.raises(NotFetchedError, match="not public"):
            await made.fetch("http://images.example/", 1000, image=True)
        assert server.connections == []
        assert names.asked == ["images.example"]


async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """It is resolved once for a connection, and that address is the one that is called."""
    async with Scripted(sends(image())) as server:
        names = Names(["127.0.0.1"], ["127.0.0.2"], port=server.port)
        made = MediaFetcher(rules(), resolve=names, public=lambda address: address == "127.0.0.1")
        assert await made.fetch("http://images.example/", 1000, image=True)
        assert names.asked == ["images.example"]
        await made.close()
        assert len(server.connections) == 1


def moved(to: str, status: int = 302) -> bytes:
    answer: bytes = whole(status, b"", "text/plain", f"location: {to}")
    return answer


async def test_a_redirect_is_followed_where_it_may_be() -> None:
    script = sends(moved("/b.png"), moved("http://x.cdn.example/c.png", 307), image())
    async with fetching(script) as (made, _):
        assert (await made.fetch("http://images.example/a.png", 1000, image=True)).data == PNG


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/", "does not name it"),
        ("http://other.example/", "does not name it"),
        ("http://images.example:22/", "names a port"),
        ("file:///etc/passwd", "not a plain URL"),
        ("http://user@images.example/", "not a plain URL"),
        ("/again", "more than 3 redirects"),
    ],
)
async def test_a_redirect_that_leads_away_is_not(to: str, words: str) -> None:
    async with fetching(sends(moved(to))) as (made, _):
        with pytest.raises(NotFetchedError, match=words):
            await made.fetch("http://images.example/", 1000, image=True)


async def test_a_redirect_to_a_name_with_an_address_inside_is_not() -> None:
    async with Scripted(sends(moved("http://x.cdn.example/"))) as server:
        names = Names(["127.0.0.1"], ["127.0.0.2"], port=server.port)
        made = MediaFetcher(rules(), resolve=names, public=lambda address: address == "127.0.0.1")
        with pytest.raises(NotFetchedError, match="not public"):
            await made.fetch("http://images.example/", 1000, image=True)
        await made.close()
        assert len(server.connections) == 1


async def endless(connection: Any) -> None:
    connection.send(head(200, "image/png"))
    for _ in range(2000):
        connection.send(scripted.chunk(PNG * 100))
        await asyncio.sleep(0)


async def silent(_: Any) -> None:
    await asyncio.sleep(60)


async def cut(connection: Any) -> None:
    connection.send(head(200, "image/png", 1000) + PNG)
    connection.end()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (sends(head(200, "image/png", 5000) + b"x"), "more than 1000 bytes"),
        (endless, "more than 1000 bytes"),
        (silent, "in time"),
        (cut, "could not be reached"),
        (sends(whole(404, b"secret page", "text/html")), "answered 404"),
        (sends(whole(304, b"", "image/png")), "answered 304"),
    ],
    ids=["said too long", "too long", "too slow", "cut", "not there", "no redirect"],
)
async def test_what_is_not_to_be_had(script: Any, words: str) -> None:
    limit_ms = 200 if script is silent else 20_000
    async with fetching(script, rules=rules(timeout_ms=limit_ms)) as (made, _):
        with pytest.raises(NotFetchedError, match=words) as found:
            await made.fetch("http://images.example/a?token=secret", 1000, image=True)
        assert "secret" not in str(found.value)


@pytest.mark.parametrize(("named", "works"), [("images.example", True), ("other.example", False)])
async def test_tls_is_with_the_name_not_the_address(named: str, works: bool) -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(named).configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    async with Scripted(sends(image()), tls=theirs) as server:
        names = Names(["127.0.0.1"], port=server.port)
        made = MediaFetcher(rules(http=False), resolve=names, public=lambda _: True, context=ours)
        try:
            found = await made.fetch("https://images.example/", 1000, image=True)
        except NotFetchedError:
            assert not works
        else:
            assert works
            assert found.data == PNG
        await made.close()


# --- in a request

URL = "http://images.example/a.png"


def request(*parts: dict[str, Any]) -> Any:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}],
    }


async def test_data_in_place_of_urls() -> None:
    result = {"type": "tool_result", "id": "c", "content": [{"type": "image", "url": URL}]}
    asked = request(
        {"type": "image", "url": URL, "detail": "low"}, {"type": "image", "url": "s3://b/k"}, result
    )
    async with fetching(sends(image())) as (made, server):
        found: Any = await inlined(asked, Inline(True, True, 1000), made)
        assert sum(each.requests for each in server.connections) == 1  # the same URL once
    got = {"type": "image", "data": "iVBORw0KGgo" + "A" * 54 + "==", "media_type": "image/png"}
    content = found["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "look"}
    assert {**content[1], "data": ""} == {**got, "data": "", "detail": "low"}
    assert content[1]["data"].startswith("iVBORw0KGgo")
    assert content[2] == {"type": "image", "url": "s3://b/k"}
    assert content[3]["content"][0].keys() == got.keys()
    assert asked["messages"][0]["content"][1]["url"] == URL  # the client's own is untouched


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request({"type": "image", "data": "AAAA"}),
        request({"type": "file", "url": URL}),
        {"messages": []},
    ],
)
async def test_nothing_to_fetch(asked: Any) -> None:
    assert await inlined(asked, Inline(True, False, 1000), None) is asked


async def test_without_leave_nothing_is_fetched() -> None:
    with pytest.raises(NotFetchedError, match=r"takes no images by their URL.*media\.fetch.*engine\.yaml"):
        await inlined(request({"type": "image", "url": URL}), Inline(True, False, 1000), None)


async def test_too_many() -> None:
    parts = [{"type": "image", "url": f"{URL}?{number}"} for number in range(21)]
    async with fetching(sends(image())) as (made, server):
        with pytest.raises(NotFetchedError, match="more than 20"):
            await inlined(request(*parts), Inline(True, False, 1000), made)
        assert server.connections == []


async def test_one_that_fails_ends_the_others() -> None:
    parts = [{"type": "image", "url": URL}, {"type": "file", "url": "http://other.example/b.pdf"}]
    async with fetching(silent, rules=rules(timeout_ms=60_000)) as (made, _):
        async with asyncio.timeout(30):
            with pytest.raises(NotFetchedError, match=r"the file was not fetched: other\.example"):
                await inlined(request(*parts), Inline(True, True, 1000), made)


# --- in a call

DIALECT = """
can: [images]
finish: {}
operations:
  chat:
    path: /chat
    inline: {images: true, max: 1KiB}
    adjust: [{refuse: 'request.messages | pluck("content") | flatten | pluck("url")', why: no URLs here}]
    request:
      write: {images: '${{ request.messages[0].content | pluck("data") }}'}
    response: {read: {choices: [{index: 0, message: {role: assistant, content: []}}]}}
"""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
async def test_a_call_with_an_image_by_its_url(allowed: bool, streamed: bool) -> None:
    made, out = dialects.make_dialect(DIALECT)
    assert made is not None, list(map(str, out))
    provider, _ = dialects.make_provider("dialect: openai_chat\nauth: none\nbase_url: https://x.example\n")
    transport = DirectTransport()
    async with Scripted(sends(whole(200, b"{}"))) as vendor, fetching(sends(image())) as (fetcher, images):
        media = fetcher if allowed else None
        upstream = HttpUpstream(provider, BoundDialect(made), transport, Secrets({}), media)
        deployment = Deployment("near", "own", "m", "m", "global", vendor.url, "global", (), Facts(), Call())
        ask = Ask(request({"type": "image", "url": URL}), deployment, {}, None, stream=streamed)
        found = await (upstream.flow(ask) if streamed else upstream.whole(ask))
        await upstream.close()
        await transport.close()
        assert isinstance(found, Whole)
        if allowed:
            assert len(images.connections) == 1
            sent = orjson.loads(vendor.connections[0].last.partition(b"\r\n\r\n")[2])
            assert sent["images"][0].startswith("iVBORw0KGgo")
        else:
            assert found.error is not None
            assert found.error["failure"] == "unsupported"
            assert found.error["message"].startswith("near: it takes no images by their URL")
            assert images.connections == vendor.connections == []
