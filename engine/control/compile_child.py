"""The compiling process: `python -m engine.control.compile_child WS [--env E] [--colour] [--keep FILE]`.

Compiles once and writes a `Compiled` to stdout (compiled.py says how). The exit code is 0 whatever the
diagnostics say; anything else is a fault of the compiler itself. With `--stay` in place of WS it takes jobs
from stdin, one after the other, until that is closed: `K`, the digests of segments not to send, and `J`, a
JSON object of workspace, env, keep. Only the sidecar calls it.

Where a file is named to keep a good result in, it is written after the answer was sent, and a last frame `P`
says how that went: what waits for the plan does not wait for the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.collector import collector_held, off_for_good
from engine.control import fingerprint, last_good
from engine.control.compiled import Compiled
from engine.control.frames import Frames, frame
from engine.control.settings import ProcessSettings, TlsFiles

if TYPE_CHECKING:
    from engine.compiler.load import Sources
    from engine.spec.settings import Settings
    from engine.spec.tls import Tls

#: So long files must hold what was read of them. One that is being saved is empty for a moment.
STILL_S: Final = 0.025
#: A workspace that never stands still is given up after so long.
PATIENCE_S: Final = 20.0

_RESTLESS: Final = (
    f"the files changed while they were read, again and again for {PATIENCE_S:.0f} s: stop what rewrites "
    "them, or have it write a new file and rename that"
)

_DIGEST: Final = 64  # hex digits


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.control.compile_child", description=__doc__)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--env")
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--stay", action="store_true")
    args = parser.parse_args()
    if args.stay:
        # Ctrl-C goes to every process of a terminal; whoever asks this one ends it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _serve()
    else:
        off_for_good()
        _answer(compile_still(args.workspace, args.env, colour=args.colour), (), args.keep)


def compile_here(workspace: Path, env: str | None = None, *, colour: bool = False) -> Compiled:
    """Compile in this process: what the child does, without the process."""
    return _compile(workspace, env, colour=colour)[0]


def compile_still(workspace: Path, env: str | None, *, colour: bool = False) -> Compiled:
    """Compile what stands still: as often as the files have changed since they were read. Says what they held
    (`Compiled.content`): it need not be what made somebody ask.

    The watch waits for that too, but the next save may begin between its last look and this first one, and
    an emptied file of routes is a good one without routes.
    """
    from engine.compiler.load import load  # deferred: as the compiler
    from engine.diagnostics import Diagnostic, Diagnostics

    patience = time.monotonic() + PATIENCE_S
    while (begun := time.monotonic()) < patience:
        compiled, sources = _compile(workspace, env, colour=colour)
        time.sleep(max(0.0, begun + STILL_S - time.monotonic()))
        content = fingerprint.content(workspace)
        same = load(workspace, env, Diagnostics()).files == sources.files
        if same and fingerprint.content(workspace) == content:
            return replace(compiled, content=content)
    restless = Diagnostic("E504", _RESTLESS)
    return Compiled(None, None, (restless.as_json(),), f"error[E504]: {_RESTLESS}\n")


def _compile(workspace: Path, env: str | None, *, colour: bool = False) -> tuple[Compiled, Sources]:
    with collector_held():
        # Deferred: importing the compiler is most of a first compile, and the collector finds nothing in it.
        from engine.compiler.pipeline import compile_folder
        from engine.compiler.render.text import render

        done = compile_folder(workspace, env)
        compiled = Compiled(
            plan=done.plan,
            settings=_settings(done.settings) if done.plan is not None else None,
            diagnostics=tuple(diagnostic.as_json() for diagnostic in done.diagnostics),
            rendered=render(done.diagnostics, done.texts(), color=colour),
            bare=all(source.builtin for source in done.sources.of("routes")),
        )
        return compiled, done.sources


def _serve() -> None:
    frames, held = Frames(), frozenset[str]()
    while data := os.read(sys.stdin.fileno(), 1 << 16):
        for kind, payload in frames.feed(data):
            if kind == b"K":
                text = payload.decode()
                held = frozenset(text[at : at + _DIGEST] for at in range(0, len(text), _DIGEST))
            elif kind == b"J":
                job: dict[str, Any] = json.loads(payload)
                keep = Path(job["keep"]) if job["keep"] is not None else None
                _answer(compile_still(Path(job["workspace"]), job["env"]), held, keep)
                held = frozenset()


def _answer(compiled: Compiled, held: Collection[str], keep: Path | None) -> None:
    out = sys.stdout.buffer
    for data in compiled.frames(held):
        out.write(data)
    out.flush()
    if keep is not None and compiled.plan is not None:
        why = last_good.write(keep, compiled.frames())
        out.write(frame(b"P", json.dumps({"why": why}).encode()))
        out.flush()


def _settings(spec: Settings) -> ProcessSettings:
    from engine.spec.settings import Overload  # deferred: as the compiler

    overload = spec.overload or Overload()
    return ProcessSettings(
        listen=str(spec.listen),
        admin=str(spec.admin) if spec.admin is not None else None,
        probes=str(spec.probes) if spec.probes is not None else None,
        admin_key=str(spec.admin_key) if spec.admin_key is not None else None,
        state=spec.state,
        workers=spec.workers,
        body_limit=int(spec.body_limit),
        drain_ms=int(spec.drain),
        heartbeat_ms=int(spec.heartbeat),
        watch=spec.watch,
        lag_ms=overload.lag,
        files=overload.files,
        memory=overload.memory,
        idempotency_ms=spec.idempotency,
        debounce_ms=int(spec.debounce),
        tls=_tls(spec.tls),
        trusted_proxies=spec.trusted_proxies or (),
    )


def _tls(spec: Tls | None) -> TlsFiles | None:
    if spec is None:
        return None
    required = spec.clients is not None and spec.client_required is not False
    clients = None if spec.clients is None else spec.clients.name
    return TlsFiles(spec.certificate.name, spec.key.name, clients, required)


if __name__ == "__main__":
    main()
