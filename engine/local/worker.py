"""The process of one loaded model: `python -m engine.local.worker`, spoken to by `protocol` over its pipes.

GenAI holds Python's lock while it computes, which is why a model has a process of its own. One thread reads
commands; the main thread goes round the live requests, one slice or one token each, and takes commands in
between. It ends with its parent: at the end of stdin, and on Linux by the kernel's signal.
Telemetry of ONNX Runtime is switched off before its import, and `ready` says so.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

from engine.local import providers, template
from engine.local.generation import Generation, Loaded, Pace
from engine.local.prompt import Prompts, Unfit, model_numbers
from engine.local.protocol import (
    Begin,
    Counted,
    Failed,
    Fault,
    Lines,
    Load,
    Ready,
    Report,
    Skipped,
    Trying,
    encode,
)

PR_SET_PDEATHSIG = 1


class Pipes:
    """Commands in, reports out. What a library prints goes to stderr, never between the messages."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        lines = Lines()
        while data := os.read(0, 1 << 16):
            for message in lines.feed(data):
                self._inbox.put(message)
        os._exit(0)  # the parent is gone: nobody is left to answer

    def tell(self, *reports: Report) -> None:
        data = b"".join(map(encode, reports))
        while data:
            data = data[os.write(self._out, data) :]

    def take(self) -> dict[str, Any]:
        """The next command, waited for."""
        return self._inbox.get()

    def waiting(self) -> bool:
        return not self._inbox.empty()


class Worker:
    """The live and the waiting requests of one model."""

    def __init__(self, pipes: Pipes, loaded: Loaded, live: int) -> None:
        self._pipes, self._loaded, self._most = pipes, loaded, live
        self._live: dict[int, Generation] = {}
        self._waiting: deque[Generation] = deque()

    def run(self) -> None:
        """Works until `stop`."""
        while True:
            if not any(one.runnable for one in self._live.values()) and self._take(self._pipes.take()):
                return
            for one in list(self._live.values()):
                while self._pipes.waiting():
                    if self._take(self._pipes.take()):
                        return
                if one.id in self._live and one.runnable:
                    self._step(one)

    def _take(self, command: dict[str, Any]) -> bool:
        """Does one command; True for `stop`."""
        match command["op"]:
            case "generate":
                self._open(command)
            case "cancel":
                self._cancel(command["id"])
            case "credit":
                for one in (self._live.get(command["id"]), *self._waiting):
                    if one is not None and one.id == command["id"]:
                        one.credit += command["pieces"]
            case "count":
                self._count(command)
            case "stop":
                return True
        return False

    def _open(self, command: Any) -> None:
        try:
            one = Generation(self._loaded, command)
        except Unfit as unfit:
            self._refuse(command["id"], unfit)
            return
        self._pipes.tell(Begin(ev="begin", id=one.id, input_tokens=one.input_tokens))
        self._waiting.append(one)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and len(self._live) < self._most:
            one = self._waiting.popleft()
            try:
                one.start()
            except Unfit as unfit:
                self._refuse(one.id, unfit)
                continue
            self._live[one.id] = one

    def _step(self, one: Generation) -> None:
        reports = one.step()
        if reports:
            self._pipes.tell(*reports)
            if reports[-1]["ev"] in ("end", "fault"):
                del self._live[one.id]
                self._admit()

    def _cancel(self, id: int) -> None:
        one = self._live.pop(id, None) or next((other for other in self._waiting if other.id == id), None)
        if one is None:
            return  # it ended while the cancel was on its way
        if one in self._waiting:
            self._waiting.remove(one)
        self._pipes.tell(one.end("cancelled"))
        self._admit()

    def _count(self, command: Any) -> None:
        try:
            ids = self._loaded.prompts.encode(command["messages"], command["tools"])
        except Unfit as unfit:
            self._refuse(command["id"], unfit)
        else:
            self._pipes.tell(Counted(ev="counted", id=command["id"], tokens=len(ids)))

    def _refuse(self, id: int, unfit: Unfit) -> None:
        self._pipes.tell(Fault(ev="fault", id=id, failure=unfit.failure, message=str(unfit)))


def load(pipes: Pipes, command: Load) -> Loaded:
    """Loads the model on the first provider that works, tells `ready`; or tells `failed` and ends."""
    began = time.perf_counter()
    import onnxruntime_genai as og  # here: after telemetry is off, and only in this process

    og.disable_telemetry_events()
    skipped: list[Skipped] = []
    for candidate in command["candidates"]:
        provider, folder = candidate["provider"], candidate["folder"]
        pipes.tell(Trying(ev="trying", provider=provider, skipped=skipped))
        try:
            model = providers.open_model(og, provider, folder, command["threads"])
            tokenizer = og.Tokenizer(model)
            eos, context, vocabulary = model_numbers(Path(folder))
            prompts = Prompts(og, tokenizer, Path(folder), vocabulary)
        except Exception as error:  # noqa: BLE001 - GenAI raises RuntimeError, UnicodeDecodeError and others
            skipped.append(Skipped(provider=provider, why=f"{type(error).__name__}: {error}"))
            continue
        loaded = Loaded(og, model, tokenizer, prompts, Pace(), eos, context, vocabulary)
        pipes.tell(_ready(loaded, provider, skipped, time.perf_counter() - began))
        return loaded
    pipes.tell(Failed(ev="failed", skipped=skipped))
    raise SystemExit(1)


def _ready(loaded: Loaded, provider: str, skipped: list[Skipped], seconds: float) -> Ready:
    return Ready(
        ev="ready",
        pid=os.getpid(),
        provider=provider,
        device=str(loaded.model.device_type),
        skipped=skipped,
        context=loaded.context,
        vocabulary=loaded.vocabulary,
        shape=template.learn(loaded.prompts.render),
        loaded_s=seconds,
        version=loaded.og.__version__,
        telemetry="off",
    )


def _die_with_parent() -> None:
    """Asks the Linux kernel for a kill when the parent dies; elsewhere the end of stdin does it."""
    if sys.platform == "linux":
        import ctypes  # here: a Linux worker's only use of it

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Runs one worker to its end."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # Ctrl-C and a service manager's stop reach every process of the group; they are for the parent, which
    # drains and then stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    pipes = Pipes()
    command = pipes.take()
    loaded = load(pipes, cast(Load, command))
    Worker(pipes, loaded, command["live"]).run()
    os._exit(0)  # at once: the system frees a model faster than destructors do


if __name__ == "__main__":
    main()
