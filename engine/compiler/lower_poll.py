"""`poll` of an operation to the plan's `Poll`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from engine.compiler.document import Path
from engine.plan.values import Template
from engine.plan.vendors import Poll, PollCall
from engine.spec.poll import ElsewhereSpec, PollSpec

EVERY_MS: Final = 500
LONGEST_MS: Final = 5_000
TIMEOUT_MS: Final = 600_000

Escape = Literal["text", "path"]
Compile = Callable[[Path, Escape], Template | None]


def lower_poll(spec: PollSpec, path: Path, compile_at: Compile) -> Poll | None:
    """The plan's poll; None after a fault. `compile_at` compiles what stands at a path of the file."""

    def call(each: ElsewhereSpec | None, name: str, method: str) -> PollCall | None:
        if each is None:
            return None
        whole = each.path is None
        target = compile_at((*path, name, "url" if whole else "path"), "text" if whole else "path")
        return None if target is None else PollCall(target, whole, each.method or method)

    status = compile_at((*path, "status"), "text")
    at = call(spec.at, "at", "GET")
    result = call(spec.result, "result", "GET")
    cancel = call(spec.cancel, "cancel", "POST")
    stream = call(spec.stream, "stream", "GET")
    if status is None or at is None:
        return None
    return Poll(
        status=status,
        pending=spec.pending,
        succeeded=spec.succeeded,
        failed=spec.failed or (),
        at=at,
        result=result,
        cancel=cancel,
        stream=stream,
        hosts=tuple(host.lower() for host in spec.hosts or ()),
        every_ms=spec.every or EVERY_MS,
        longest_ms=spec.longest or LONGEST_MS,
        timeout_ms=spec.timeout or TIMEOUT_MS,
    )
