"""Run the sidecar: HTTP in front of the workspace's routes.

Compiles WS, listens, and prints the bound addresses as one JSON line on stdout once they take connections.
A file change or SIGHUP compiles again: a good workspace replaces the running plan without a break, a broken
one is reported (here, in /admin/status, in the metrics) and the old plan serves on. SIGTERM or Ctrl-C ends
it in good order, a second one at once. Exit code 1 if the workspace has errors.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import Parser, add_workspace
from engine.cli.output import CommandFailed, colour_on, message, paint

if TYPE_CHECKING:
    from engine.server.sidecar import Sidecar

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
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; only 1 is built yet")
    parser.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="reload when a file changes (default)",
    )


def run(args: argparse.Namespace) -> int:
    if args.workers != 1:
        raise CommandFailed(
            f"E090: --workers {args.workers} is not built yet; one process serves",
            help="leave --workers out",
        )
    workspace = Path(args.workspace)
    # Deferred, all of them, and in this order: the compiler runs in a child while this process imports the
    # server.
    from engine.control import fingerprint
    from engine.control.child import FirstCompile

    content = fingerprint.content(workspace)
    first = FirstCompile(workspace, args.env, colour=colour_on(sys.stderr))
    from engine.control.compiled import CompileFault
    from engine.server.listen import AddressError
    from engine.server.loop import run_on_loop
    from engine.server.sidecar import Options, StartError, serve

    options = Options(workspace, args.env, args.listen, args.admin, args.watch)
    try:
        compiled = first.result()
        if compiled.rendered:
            message(compiled.rendered.rstrip("\n"))
        if compiled.plan is None:
            nothing = any(found["code"] in _CALLED_WRONG for found in compiled.diagnostics)
            return FAILED if nothing else FOUND
        return run_on_loop(serve(options, compiled, content, _ready))
    except (StartError, AddressError, CompileFault) as error:
        raise CommandFailed(str(error)) from None


#: What the line to paste asks: any model has an answer, and a reader can tell a right one.
QUESTION = "What is the capital of France?"


def _ready(sidecar: Sidecar) -> None:
    """The addresses for programs on stdout; for people, what to try, on stderr."""
    hello = sidecar.hello()
    print(json.dumps(hello), flush=True)
    address = hello["listen"]
    model = next(iter(sidecar.reloader.snapshot.matcher.names()), None)
    admin = hello["admin"] or address
    serving = paint("serving", "green", "bold", stream=sys.stderr)
    message(f"{serving} http://{address}  revision {hello['revision'][:12]}")
    message(f"status   http://{admin}/admin/status")
    if model is not None:
        body = json.dumps(
            {"model": model.replace("*", "x"), "messages": [{"role": "user", "content": QUESTION}]}
        )
        message("try      " + curl(f"http://{address}", body))


def curl(url: str, body: str) -> str:
    """A command line that asks a question, ready to paste into a POSIX shell."""
    header = shlex.quote("content-type: application/json")
    return f"curl -s {url}/v1/chat/completions -H {header} -d {shlex.quote(body)}"
