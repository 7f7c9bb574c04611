"""The command `engine`: finds a command's file, parses its arguments, runs it, turns the end to an exit code.

`COMMANDS` names every command with its summary; a command's module is imported only when it is called, so
that `engine --help` and a short command do not pay for the server. A command is `engine/cli/NAME.py` with

    def register(parser: Parser) -> None     # adds its arguments; --format is added afterwards
    def run(args: argparse.Namespace) -> int # 0 fine, 1 it found something

and, where it knows more formats than text and json, `FORMATS = ("text", "json", ...)` (empty: no `--format`).
The module's docstring is the text of `engine NAME --help`. Exit codes: 0 fine, 1 the command found something,
2 the command failed or was called wrong: raise `CommandFailed` (engine/cli/output.py) for the latter.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from importlib import import_module
from typing import TextIO

from engine.cli.arguments import Parser, WrongCall, add_format, did_you_mean
from engine.cli.output import CommandFailed, message, paint
from engine.collector import off_for_good
from engine.version import VERSION

OK, FOUND, FAILED = 0, 1, 2

#: command -> its one-line summary, in the order of `engine --help`.
COMMANDS: dict[str, str] = {
    "init": "write a small working workspace",
    "validate": "compile a workspace and print what is wrong with it",
    "plan": "show the compiled plan, or what a change to it changes",
    "explain": "explain one request, offline, or a diagnostic's code",
    "serve": "run the sidecar",
    "chat": "talk to a route in the terminal, no server needed",
    "graph": "draw the route graph",
    "models": "local models: list, add, show, convert, remove",
    "providers": "vendors: what they speak, where they run, what they can do",
    "schema": "write the JSON Schemas of the workspace's files",
    "docs": "write the generated reference pages",
    "doctor": "look at this machine: parts, accelerators, models, ports, secrets",
    "keys": "client keys: new, list, revoke, rotate",
    "usage": "what was spent, by whom; export it",
    "bench": "measure the sidecar, or a local model",
}

#: Commands that compile, print and end: importing the compiler is most of what they do.
_BRIEF = frozenset({"validate", "plan", "explain", "graph"})


def main(argv: list[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    if argv is None:
        argv = sys.argv[1:]
        if argv and argv[0] in _BRIEF:
            off_for_good()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another alphabet is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    name = argv[0] if argv and argv[0] in COMMANDS else None
    try:
        code = _run(argv)
        sys.stdout.flush()  # here, where a closed pipe can still be told from a fault
    except WrongCall as wrong:
        _say(wrong.prog, wrong.message)
        message(f"{wrong.usage.strip()}\nMore: {wrong.prog} --help")
        return FAILED
    except CommandFailed as failed:
        _say(f"engine {name}", failed.message)
        if failed.help:
            message(f"  help: {failed.help}")
        return FAILED
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # Whoever read our output has enough (`| head`). Nobody is left to tell, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        # A file that cannot be read, a full disk, a port in use: the machine's fault, not the engine's.
        _trace(error)
        _say(f"engine {name}" if name else "engine", str(error))
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last line of defence: a fault of ours, told as one
        return _unexpected(name, error)
    return code


def _run(argv: list[str]) -> int:
    match argv:
        case []:
            message(_help(sys.stderr))
            return FAILED
        case ["-h" | "--help" | "help"]:
            print(_help(sys.stdout))
            return OK
        case ["help", name] if name in COMMANDS:
            return _run([name, "--help"])
        case ["-V" | "--version", *_]:
            print(f"engine {VERSION}")
            return OK
        case [name, *rest] if name in COMMANDS:
            return _command(name, rest)
        case [name, *_]:
            kind = "option" if name.startswith("-") else "command"
            near = did_you_mean(name, [*COMMANDS, "--help", "--version"])
            raise WrongCall(f"there is no {kind} {name!r}{near}", "usage: engine COMMAND ...", "engine")
    raise AssertionError("unreachable")


def _command(name: str, argv: list[str]) -> int:
    # Deferred: a command imports what it needs, and only the one that was called.
    module = import_module(f"engine.cli.{name}")
    parser = Parser(prog=f"engine {name}", description=module.__doc__)
    module.register(parser)
    formats: tuple[str, ...] = getattr(module, "FORMATS", ("text", "json"))
    if formats:
        add_format(parser, formats)
    try:
        args: argparse.Namespace = parser.parse_all(argv)
    except SystemExit as stop:  # `--help` has printed and leaves; faults are raised, not exited with
        return stop.code if isinstance(stop.code, int) else OK
    code: int = module.run(args)
    return code


def _help(stream: TextIO) -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {paint(name.ljust(width), 'bold', stream=stream)}  {COMMANDS[name]}" for name in COMMANDS]
    return "\n".join(
        [
            "usage: engine COMMAND ...",
            "",
            "YAML in, an immutable plan out, and a sidecar that routes LLM requests by it.",
            "",
            *lines,
            "",
            "engine COMMAND --help tells more; engine --version prints the version.",
            "Exit codes: 0 fine, 1 the command found something, 2 it failed or was called wrong.",
        ]
    )


def _say(prog: str, text: str) -> None:
    message(f"{prog}: {paint('error', 'red', 'bold', stream=sys.stderr)}: {text}")


def _unexpected(name: str | None, error: Exception) -> int:
    _trace(error)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    _say(
        f"engine {name}" if name else "engine",
        f"a fault in the engine itself: {what}. Please report it, with what the same command prints "
        "when ENGINE_DEBUG=1 is set",
    )
    return FAILED


def _trace(error: Exception) -> None:
    if os.environ.get("ENGINE_DEBUG"):
        # Deferred: only this line needs it.
        import traceback

        traceback.print_exception(error)


def _interrupted() -> int:
    """Ctrl-C ends the process by the signal itself where it can, so that a calling script stops too."""
    message("")
    if os.name == "posix":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
