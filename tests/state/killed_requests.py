"""Requests that SIGKILL ends, in each of their phases: run by `test_kills`, as a process of its own.

Everything is imported and compiled once; then a child is forked for each kill, and opens the store by itself.
A child looks at what the ones before it left, and is killed within its request. What the vendor billed is on
disk before it answers. Prints what each child saw, a line of JSON each; the last one is not killed.

    python killed_requests.py FOLDER KILLS
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from engine import Engine
from engine.compiler.pipeline import compile_workspace
from engine.state.ledger import Account, Ask, Refused
from engine.state.memory_ledger import MemoryLedger
from engine.state.sqlite_ledger import SqliteLedger

#: In the order of a request. Before `sent` nothing is billed; `in` means: in the middle of the transaction.
PHASES = (
    "before reserve",
    "in reserve",
    "after reserve",
    "in sent",
    "after sent",
    "asked",
    "billed",
    "first bytes",
    "last bytes",
    "in settle",
    "after settle",
)

FILES = {
    "engine.yaml": "state: sqlite:state.db\nusage: off\n",
    "providers.d/acme.yaml": "dialect: openai_chat\nauth: none\nbase_url: http://127.0.0.1:9\n"
    "residency: on_prem\n"
    "models: {large: {context: 8k, output: 1k, input_price: $1/M, output_price: $10/M}}\n",
    "routes/r.yaml": "deployments: {a: {provider: acme, model: large}}\n"
    "budgets: {all: {limit: $1000, window: every 365d}, two: {limit: 900M tokens, window: every 365d}}\n"
    "routes: {chat: {start: a, budgets: [all, two], admit: {input: 200, output: 50}, retry: {extra: 0}}}\n",
}

#: What an answer costs, in nano-dollars: 12 tokens at $1/M, 3 at $10/M.
COST = 42_000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class Deadly(SqliteLedger):
    """Dies in a phase, once it is armed."""

    phase = ""

    def at(self, phase: str) -> None:
        if self.phase == phase:
            die()

    def reserve(self, hold: str, asks: Sequence[Ask], now_ms: int) -> Any:
        self.at("before reserve")
        self._dying("in reserve")
        answer = super().reserve(hold, asks, now_ms)
        assert not isinstance(answer, Refused), answer
        self.at("after reserve")
        return answer

    def sent(self, hold: str, now_ms: int) -> Any:
        self._dying("in sent")
        answer = super().sent(hold, now_ms)
        self.at("after sent")
        return answer

    def settle(self, hold: str, amounts: Sequence[int], now_ms: int) -> None:
        self._dying("in settle")
        super().settle(hold, amounts, now_ms)
        self.at("after settle")

    def _dying(self, phase: str) -> None:
        """From here on, before the transaction is written."""
        if self.phase == phase:
            self._books.commit = die  # type: ignore[method-assign]


class Vendor:
    """Writes down what it bills, then answers."""

    def __init__(self) -> None:
        self.bill = -1
        self.at: Callable[[str], None] = lambda _: None

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.at("asked")
        os.write(self.bill, b"%d\n" % COST)
        self.at("billed")
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(self.at))


class Stream(httpx.AsyncByteStream):
    def __init__(self, at: Callable[[str], None]) -> None:
        self._at = at

    async def __aiter__(self) -> AsyncIterator[bytes]:
        base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
        yield _event({**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]})
        await asyncio.sleep(0)
        self._at("first bytes")
        yield _event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
        yield _event({**base, "choices": [], "usage": usage})
        await asyncio.sleep(0)
        self._at("last bytes")
        yield b"data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def accounts(ledger: SqliteLedger) -> dict[str, tuple[Account, Any]]:
    return {row.key.split("/")[1]: (row, standing) for row, standing in ledger.rows(time.time_ns() // 10**6)}


def told(ledger: SqliteLedger, bill: Path) -> dict[str, Any]:
    found = accounts(ledger)
    billed = sum(map(int, bill.read_text().split())) if bill.exists() else 0
    row = {name: [each.spent, each.held, each.lost] for name, (_, each) in found.items()}
    return {"billed": billed, **row}


def opened(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)


async def warm(engine: Engine, vendor: Vendor, folder: Path) -> None:
    """Bind the plan, and go through everything once, with a store that is closed before anything forks."""
    vendor.bill = opened(folder / "warm.bill")
    ledger = SqliteLedger(folder / "warm.db")
    await engine.__aenter__()  # for as long as the process lives
    engine.executor.count_in(ledger)
    await ask(engine)
    await ledger.close()


async def child(engine: Engine, vendor: Vendor, folder: Path, phase: str) -> None:
    vendor.bill = opened(folder / "bill")
    ledger = Deadly(folder / "state.db")
    print(json.dumps({"phase": phase, **told(ledger, folder / "bill")}), flush=True)
    engine.executor.count_in(ledger)
    vendor.at, ledger.phase = ledger.at, phase
    await ask(engine)
    assert not phase, f"nothing was killed at {phase!r}"
    await ledger.close()


async def ask(engine: Engine) -> None:
    messages = [{"role": "user", "content": "hi"}]
    async for _ in engine.stream(model="chat", messages=messages, max_tokens=40):
        pass


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    plan, diagnostics = compile_workspace(folder)
    assert plan is not None, [str(each) for each in diagnostics]
    vendor = Vendor()
    # A ledger of one's own is given: nothing of `state:` is opened here.
    engine = Engine.open(folder, plan=plan, transport=httpx.MockTransport(vendor), ledger=MemoryLedger())
    asyncio.run(warm(engine, vendor, folder))
    gc.collect()
    gc.freeze()  # so that no child looks at, and copies, what it will not change
    gc.disable()
    for phase in phases(kills):
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(child(engine, vendor, folder, phase))
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        assert ended == (-signal.SIGKILL if phase else 0), (phase, ended)


def phases(kills: int) -> Iterator[str]:
    """Each in turn; at the end a child that is not killed, and sees what all left."""
    for number in range(kills):
        yield PHASES[number % len(PHASES)]
    yield ""


if __name__ == "__main__":
    main()
