"""Run the sidecar: HTTP in front of the workspace's routes.

Compiles WS, listens, and prints the bound addresses as one JSON line on stdout once they take connections.
A file change or SIGHUP compiles again: a good workspace replaces the running plan without a break, a broken
one is reported (here, in /admin/status, in the metrics) and the old plan serves on. The last good plan is
kept over restarts, in the user's state folder (ENGINE_STATE_DIR names another): where the files are broken
at the start, it is served, loudly. SIGTERM or Ctrl-C ends it in good order, a second one at once. Exit code 1
if the workspace has errors and there is no last good plan, or --no-last-good refuses it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.arguments import Parser, add_workspace
from engine.cli.output import CommandFailed, colour_on, message, paint
from engine.collector import collector_held

if TYPE_CHECKING:
    from engine.control.first_compile import FirstCompile
    from engine.control.last_good import LastGood, Start
    from engine.server.sidecar import Sidecar
    from engine.server.supervisor import Supervisor

#: What the sidecar prints is a protocol (one JSON line) and its log, so there is no format to choose.
FORMATS: tuple[str, ...] = ()

#: Exit codes: the workspace has errors (also: open requests were given up); it was called wrong.
FOUND, FAILED = 1, 2

#: There was nothing to compile: no such folder, no such environment.
_CALLED_WRONG = frozenset({"E001", "E002"})


def register(parser: Parser) -> None:
    add_workspace(parser)
    parser.add_argument("--listen", metavar="H:P", help="where clients connect; port 0 takes a free one")
    parser.add_argument(
        "--admin", metavar="H:P", help="serve /admin there (default: on the clients' address)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that serve requests (docs/workers.md)"
    )
    parser.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="reload when a file changes (default)",
    )
    parser.add_argument(
        "--no-last-good",
        action="store_true",
        help="do not start on the last good plan where the files are broken",
    )


def run(args: argparse.Namespace) -> int:
    if args.workers is not None and args.workers < 1:
        raise CommandFailed(f"--workers {args.workers}: a whole number of at least 1 is expected")
    workspace = Path(args.workspace)
    # Deferred, all of them, and in this order: the compiler runs in a child while this process imports the
    # server.
    from engine.control import fingerprint
    from engine.control.first_compile import FirstCompile
    from engine.control.last_good import LastGood

    hung_up = _hold_hangups()
    content = fingerprint.content(workspace)
    last_good = LastGood.of(workspace, args.env)
    keep = last_good.next if last_good is not None else None
    first = FirstCompile(workspace, args.env, colour=colour_on(sys.stderr), keep=keep)
    with collector_held(stays=True):
        from engine.control.compiled import CompileFault
        from engine.server.entrances import StartError
        from engine.server.listen import AddressError
        from engine.server.loop import run_on_loop
        from engine.server.sidecar import Options, serve

    def ready(sidecar: Sidecar | Supervisor) -> None:
        _ready(sidecar)
        if hung_up.is_set():
            os.kill(os.getpid(), signal.SIGHUP)

    options = Options(workspace, args.env, args.listen, args.admin, args.watch, args.workers)
    try:
        start = _begin(first, last_good, refuse=args.no_last_good)
        if isinstance(start, int):
            return start
        assert start.compiled.settings is not None
        content = start.content or content
        if options.over(start.compiled.settings).workers == 1:
            return run_on_loop(serve(options, start, content, ready))
        from engine.server.supervisor import supervise  # deferred: one process does without

        return run_on_loop(supervise(options, start, content, ready))
    except (StartError, AddressError, CompileFault) as error:
        raise CommandFailed(str(error)) from None
    finally:
        first.stop()
        if last_good is not None:  # what the child wrote beside its place, where it never ran
            last_good.discard()


def _hold_hangups() -> threading.Event:
    """Until this process serves, a wish to reload is remembered: unheld, the signal would end the process."""
    asked = threading.Event()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: asked.set())
    return asked


def _begin(first: FirstCompile, last_good: LastGood | None, *, refuse: bool) -> Start | int:
    """What to begin with: the compiled workspace, else the last good plan, else the exit code."""
    from engine.control.compiled import CompileFault
    from engine.control.last_good import Start
    from engine.diagnostics import Diagnostic

    fault: CompileFault | None = None
    content: str | None = None
    found: tuple[dict[str, Any], ...] = ()
    try:
        compiled = first.result()
    except CompileFault as error:
        fault, found = error, (Diagnostic("E500", str(error)).as_json(),)
    else:
        if compiled.rendered:
            message(compiled.rendered.rstrip("\n"))
        if compiled.plan is not None:
            return Start(compiled, last_good, first=first, content=compiled.content)
        first.ended()
        found, content = compiled.diagnostics, compiled.content
    kept = None
    if last_good is not None and not refuse:
        try:
            kept = last_good.load()
        except CompileFault as error:
            message(f"the last good plan cannot be used: {error}")
    if kept is not None:
        assert kept.plan is not None
        told = paint("the workspace does not compile", "red", "bold", stream=sys.stderr)
        message(
            f"{told}: serving the last good plan, revision {kept.plan.revision[:12]}, until it does "
            "(--no-last-good refuses that)"
        )
        return Start(kept, last_good, found, content=content)
    if fault is not None:
        raise fault
    return FAILED if any(each["code"] in _CALLED_WRONG for each in found) else FOUND


#: What the line to paste asks: any model has an answer, and a reader can tell a right one.
QUESTION = "What is the capital of France?"


def _ready(sidecar: Sidecar | Supervisor) -> None:
    """The addresses for programs on stdout; for people, what to try, on stderr."""
    hello = sidecar.hello()
    print(json.dumps(hello), flush=True)
    address = hello["listen"]
    model = next(iter(sidecar.reloader.snapshot.matcher.names()), None)
    admin = hello["admin"] or address
    serving = paint("serving", "green", "bold", stream=sys.stderr)
    scheme = "http" if sidecar.settings.tls is None else "https"
    message(f"{serving} {scheme}://{address}  revision {hello['revision'][:12]}")
    message(f"status   {scheme if hello['admin'] is None else 'http'}://{admin}/admin/status")
    if model is not None:
        body = json.dumps(
            {"model": model.replace("*", "x"), "messages": [{"role": "user", "content": QUESTION}]}
        )
        message("try      " + curl(f"{scheme}://{address}", body, sidecar.asks_for_keys))


def curl(url: str, body: str, key: bool = False) -> str:
    """A command line that asks a question, ready to paste into a POSIX shell; key: with the one in $KEY."""
    header = shlex.quote("content-type: application/json")
    shown = ' -H "authorization: Bearer $KEY"' if key else ""
    return f"curl -s {url}/v1/chat/completions{shown} -H {header} -d {shlex.quote(body)}"
