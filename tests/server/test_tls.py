"""TLS on `listen`: real certificates, real connections, files that change under a running server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from running import CHAT, HELLO, ROUTES, running, write_workspace
from serving import serve
from vendor import Vendor, streams

from engine.control.settings import TlsFiles
from engine.identity.certificates import NAMES
from engine.observe.log import Log
from engine.server import tls
from engine.server.listen import Listener, bind
from engine.server.tls import TlsFault, make_context

SERVERS = trustme.CA()
CLIENTS = trustme.CA()
OTHERS = trustme.CA()
FIRST = SERVERS.issue_cert("127.0.0.1")
SECOND = SERVERS.issue_cert("127.0.0.1")
BOT = CLIENTS.issue_cert("bot.acme.ai", "ops@acme.ai", common_name="Support bot")
NEWCOMER = OTHERS.issue_cert("bot.acme.ai")


def pem(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """The first certificate, and the authority of clients; nobody must show one."""
    paths = [tmp_path / name for name in ("tls.pem", "tls.key", "clients.pem")]
    paths[0].write_bytes(pem(FIRST))
    paths[1].write_bytes(FIRST.private_key_pem.bytes())
    paths[2].write_bytes(CLIENTS.cert_pem.bytes())
    return TlsFiles(*map(str, paths))


def put(path: str, data: bytes) -> None:
    """As deployers do it: a new file in the place of the old one."""
    new = Path(path + ".new")
    new.write_bytes(data)
    new.replace(path)


def trusting(shows: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    SERVERS.configure_trust(context)
    if shows is not None:
        shows.configure_cert(context)
    return context


async def names(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with the names it was told, after the body is there."""
    while (await receive()).get("more_body"):
        pass
    body = json.dumps([scope["scheme"], scope.get(NAMES, ())]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def listening(files: TlsFiles, app: Any = names, log: Log | None = None) -> AsyncIterator[Listener]:
    with bind("127.0.0.1:0") as sock:
        listener = Listener(sock, app, files, log)
        await listener.start()
        try:
            yield listener
        finally:
            await listener.stop()


@contextlib.asynccontextmanager
async def client(listener: Listener, context: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    url = f"https://{listener.address}"
    async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False, timeout=30) as made:
        yield made


async def serial(listener: Listener, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = listener.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown = writer.get_extra_info("peercert")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return int(shown["serialNumber"], 16)


def number(certificate: trustme.LeafCert) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).serial_number


async def test_the_app_is_told_who_a_client_is(files: TlsFiles) -> None:
    async with listening(files) as listener:
        async with client(listener, trusting()) as nobody:
            assert (await nobody.get("/")).json() == ["https", []]
        async with client(listener, trusting(BOT)) as bot:
            told = (await bot.get("/")).json()[1]
            assert ["dns", "bot.acme.ai"] in told
            assert ["email", "ops@acme.ai"] in told
            assert ["cn", "Support bot"] in told
            assert (await bot.get("/")).json()[1] == told  # of the connection, not of the first request


@pytest.mark.parametrize("shows", [None, NEWCOMER], ids=["no certificate", "a stranger's"])
async def test_who_must_show_a_certificate_and_does_not_gets_nothing(
    files: TlsFiles, shows: trustme.LeafCert | None
) -> None:
    must = TlsFiles(files.certificate, files.key, files.clients, required=True)
    async with listening(must) as listener:
        async with client(listener, trusting(shows)) as out:
            with pytest.raises(httpx.TransportError):
                await out.get("/")
        async with client(listener, trusting(BOT)) as bot:
            assert (await bot.get("/")).status_code == 200


async def test_a_strangers_certificate_is_no_missing_one(files: TlsFiles) -> None:
    """Where none is needed, one that cannot be verified still ends the handshake: nobody is guessed at."""
    async with listening(files) as listener, client(listener, trusting(NEWCOMER)) as out:
        with pytest.raises(httpx.TransportError):
            await out.get("/")


async def test_nothing_older_than_1_2_and_nothing_plain(files: TlsFiles) -> None:
    lines = io.StringIO()
    async with listening(files, log=Log(stream=lines, text=False)) as listener:
        old = trusting()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        async with client(listener, old) as out:
            with pytest.raises(httpx.TransportError):
                await out.get("/")
        host, _, port = listener.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"HTTP/1.1 200" not in await asyncio.wait_for(reader.read(), 30)
        writer.close()
        async with client(listener, trusting()) as good:
            assert (await good.get("/")).status_code == 200
    assert lines.getvalue() == ""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.02)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("quick")
async def test_a_new_certificate_is_taken_and_nobody_is_disconnected(files: TlsFiles) -> None:
    lines, going, gate = io.StringIO(), asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            going.set()
            await gate.wait()
        await names(scope, receive, send)

    async with (
        listening(files, slow, Log(stream=lines, text=False)) as listener,
        client(listener, trusting()) as before,
    ):
        assert (await before.get("/")).status_code == 200
        open_one = asyncio.create_task(before.get("/slow"))
        await going.wait()
        assert await serial(listener, trusting()) == number(FIRST)

        put(files.certificate, pem(SECOND))  # its key is still on the way: this pair is no good
        await until(lambda: logged(lines, "certificate_not_reloaded"))
        assert "is not the key of" in lines.getvalue()
        assert await serial(listener, trusting()) == number(FIRST)

        put(files.key, SECOND.private_key_pem.bytes())
        await until(lambda: logged(lines, "certificate_reloaded"))
        assert await serial(listener, trusting()) == number(SECOND)
        gate.set()
        assert (await open_one).status_code == 200
        assert (await before.get("/")).status_code == 200


async def logged(lines: io.StringIO, event: str) -> bool:
    return f'"{event}"' in lines.getvalue()


@pytest.mark.usefixtures("quick")
async def test_an_authority_that_is_taken_out_lets_nobody_in(files: TlsFiles) -> None:
    """Not even by a session that was begun under it."""
    lines = io.StringIO()
    must = TlsFiles(files.certificate, files.key, files.clients, required=True)
    shows = trusting(BOT)
    async with listening(must, log=Log(stream=lines, text=False)) as listener, client(listener, shows) as bot:
        assert (await bot.get("/")).status_code == 200
        assert files.clients is not None
        put(files.clients, OTHERS.cert_pem.bytes())
        await until(lambda: logged(lines, "certificate_reloaded"))
        async with client(listener, trusting(NEWCOMER)) as newcomer:
            assert (await newcomer.get("/")).status_code == 200
        with pytest.raises(httpx.TransportError):  # its connection was closed, and a new one is refused
            await bot.get("/")


@pytest.mark.usefixtures("quick")
async def test_no_session_outlives_the_authority_it_began_under(files: TlsFiles) -> None:
    lines = io.StringIO()
    must = TlsFiles(files.certificate, files.key, files.clients, required=True)
    shows = trusting(BOT)
    shows.maximum_version = ssl.TLSVersion.TLSv1_2  # there a session is known after the handshake

    def shake(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        host, _, port = listener.address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), 5) as sock,
            shows.wrap_socket(sock, server_hostname="127.0.0.1", session=session) as made,
        ):
            made.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"bot.acme.ai" in made.recv(4096)
            return made.session, made.session_reused

    async with listening(must, log=Log(stream=lines, text=False)) as listener:
        session, _ = await asyncio.to_thread(shake, None)
        again = await asyncio.to_thread(shake, session)
        assert again[1] is True
        assert files.clients is not None
        put(files.clients, OTHERS.cert_pem.bytes())
        await until(lambda: logged(lines, "certificate_reloaded"))
        with pytest.raises(OSError):
            await asyncio.to_thread(shake, session)


async def test_the_end_of_a_clients_side_ends_it_without_a_log_line(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async with listening(files, waits) as listener:
        host, _, port = listener.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=trusting())
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(ended.wait(), 30)
    assert caplog.records == []


def encrypted(certificate: trustme.LeafCert) -> bytes:
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    how = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("key", SECOND.private_key_pem.bytes(), "is not the key of"),
        ("key", encrypted(FIRST), "has a password"),
        ("key", b"", "no certificate and key as PEM"),
        ("certificate", b"hello", "no certificate and key as PEM"),
        ("clients", b"hello", "tls.clients: "),
        ("certificate", None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_good_are_told(files: TlsFiles, name: str, data: bytes | None, told: str) -> None:
    path = Path(getattr(files, name))
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    with pytest.raises(TlsFault) as found:
        make_context(files)
    assert told in str(found.value)
    assert str(path) in str(found.value)
    assert "PRIVATE" not in str(found.value)


def settings(files: TlsFiles, more: str = "") -> str:
    return f"tls: {{certificate: 'file:{files.certificate}', key: 'file:{files.key}'{more}}}\n"


async def test_a_sidecar_speaks_it(files: TlsFiles, vendor: Vendor, tmp_path: Path) -> None:
    more = f", clients: 'file:{files.clients}', client_required: false"
    folder = write_workspace(tmp_path / "ws", vendor.port, settings=settings(files, more))
    async with running(folder) as served:
        listener = served.sidecar.listeners["listen"]
        assert listener.tls == files
        async with client(listener, trusting()) as asks:
            answer = await asks.post(CHAT, json={"model": "one", "messages": HELLO})
            assert answer.status_code == 200
            vendor.answer = streams()
            body = {"model": "one", "messages": HELLO, "stream": True}
            async with asks.stream("POST", CHAT, json=body) as stream:
                text = "".join([line async for line in stream.aiter_text()])
            assert text.rstrip().endswith("data: [DONE]")


BOTS = ROUTES + "keys: {mtls: {bots: {dns: '*.acme.ai'}}}\n"


@pytest.mark.skipif(os.name != "posix", reason="several workers need a POSIX system")
async def test_several_workers_speak_it(files: TlsFiles, vendor: Vendor, tmp_path: Path) -> None:
    """Each worker knows clients by their certificates, and takes a new one of its own by itself; on their
    event loop as on this one. What strangers send leaves no line in the log.
    """
    more = f", clients: 'file:{files.clients}', client_required: false"
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=BOTS, settings=settings(files, more))
    async with serve(folder, "--workers", "2", "--no-watch") as served:
        host, _, port = served.hello["listen"].rpartition(":")
        url = f"https://{served.hello['listen']}"

        async def shown() -> set[int]:
            found = set()
            for _ in range(12):
                _, writer = await asyncio.open_connection(host, int(port), ssl=trusting())
                found.add(int(writer.get_extra_info("peercert")["serialNumber"], 16))
                writer.close()
                await writer.wait_closed()
            return found

        async def renewed() -> bool:
            return await shown() == {number(SECOND)}

        assert await shown() == {number(FIRST)}
        for _ in range(4):
            for shows, status in ((BOT, 200), (None, 401)):
                async with httpx.AsyncClient(verify=trusting(shows), trust_env=False, timeout=30) as asks:
                    assert (await asks.get(f"{url}/v1/models")).status_code == status
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"x" * 300, b""):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(data)
            if data.startswith(b"GET"):  # the others look like the beginning of something
                await asyncio.wait_for(reader.read(), 30)
            writer.close()
        async with httpx.AsyncClient(verify=trusting(NEWCOMER), trust_env=False, timeout=30) as out:
            with pytest.raises(httpx.TransportError):
                await out.get(f"{url}/v1/models")
        async with httpx.AsyncClient(verify=trusting(BOT), trust_env=False, timeout=30) as asks:
            assert (await asks.get(f"{url}/v1/models")).status_code == 200
            put(files.key, SECOND.private_key_pem.bytes())
            put(files.certificate, pem(SECOND))
            await until(renewed)
            assert (await asks.get(f"{url}/v1/models")).status_code == 200
        served.process.terminate()
        code, log = await served.ended()
    assert code == 0
    events = {json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")}
    assert events <= {"certificate_reloaded", "certificate_not_reloaded", "draining", "loop_blocked"}


def test_sockets_are_not_left(files: TlsFiles) -> None:
    """A listener that was stopped has let go of its port."""

    async def once() -> int:
        async with listening(files) as listener:
            return int(listener.address.rpartition(":")[2])

    port = asyncio.run(once())
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
