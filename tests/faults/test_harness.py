"""The baseline of the fault tests finds what is left behind: each kind of leak, planted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import KEY, PROMPT, Gateway, gateway, provider_file, write_files

from engine.bench.faults.provider import Provider
from engine.state.protocol import Hold


@pytest.fixture
async def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setenv("FAULTS_KEY", KEY)
    monkeypatch.setattr(harness, "WITHIN_S", 0.1)
    async with Provider() as vendor:
        files = {
            "providers.d/vendor.yaml": provider_file(vendor.url, {"ok": "ok", "silent": "silent"}),
            "routes/main.yaml": {
                "deployments": {name: {"provider": "vendor", "model": name} for name in ("ok", "silent")},
                "routes": {"well": {"start": "ok"}, "hangs": {"start": "silent"}},
            },
        }
        async with gateway(write_files(tmp_path / "ws", files), vendor) as served:
            yield served


def _task(started: Gateway, stack: contextlib.ExitStack) -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    stack.callback(task.cancel)


def _socket(started: Gateway, stack: contextlib.ExitStack) -> None:
    stack.enter_context(socket.socket())


def _lease(started: Gateway, stack: contextlib.ExitStack) -> None:
    state = started.running.sidecar.host.state
    granted = state.reserve(Hold("r", 1, "ok", 1, 1), 0)
    stack.callback(lambda: state.release(granted.lease, 0))


def _user(started: Gateway, stack: contextlib.ExitStack) -> None:
    snapshot = started.running.sidecar.reloader.snapshot
    snapshot.pin()
    stack.callback(snapshot.unpin)


def _secret(started: Gateway, stack: contextlib.ExitStack) -> None:
    started.running.sidecar.log.info("oops", key=KEY)


def _prompt(started: Gateway, stack: contextlib.ExitStack) -> None:
    started.running.sidecar.log.info("oops", said=PROMPT)


LEAKS: dict[str, tuple[Callable[[Gateway, contextlib.ExitStack], Any], str]] = {
    "a task": (_task, "tasks"),
    "a socket": (_socket, "sockets"),
    "money": (_lease, "leases"),
    "a plan in use": (_user, "users of the plan"),
    "a key in the log": (_secret, "a secret or a prompt"),
    "a prompt in the log": (_prompt, "a secret or a prompt"),
}


@pytest.mark.parametrize("name", list(LEAKS))
async def test_a_leak_is_found(started: Gateway, name: str) -> None:
    plant, words = LEAKS[name]

    async def leaks(stack: contextlib.ExitStack) -> None:
        async with started.baseline():
            assert (await started.ask("well")).status == 200
            plant(started, stack)

    with contextlib.ExitStack() as stack, pytest.raises(AssertionError, match=words):
        await leaks(stack)


async def test_a_request_that_still_runs_is_found(started: Gateway) -> None:
    asking = []

    async def leaks() -> None:
        async with started.baseline():
            asking.append(asyncio.ensure_future(started.ask("hangs")))
            while not started.providers[0].seen:
                await asyncio.sleep(0.005)

    with pytest.raises(AssertionError, match="requests"):
        await leaks()
    asking[0].cancel()
    await asyncio.wait(asking)


async def test_a_request_without_its_record_is_found(started: Gateway) -> None:
    async def leaks() -> None:
        async with started.baseline(records=2):
            await started.ask("well")

    with pytest.raises(AssertionError, match="records"):
        await leaks()


async def test_what_leaves_nothing_passes(started: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "WITHIN_S", 30.0)
    async with started.baseline(records=2):
        await started.ask("well")
        await started.ask("well", stream=True)
