"""What `engine docs` and `engine schema` share: files written from the code, or checked against it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, write, write_json

#: Takes the folder of the generated files and returns the names of those that changed, or would.
Generator = Callable[[Path], list[str]]


def add_arguments(parser: Parser, *, help: str) -> None:
    parser.add_argument("dir", metavar="DIR", nargs="?", default=".", help=help)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")


def generate(
    args: argparse.Namespace, name: str, command: str, *, write_all: Generator, drift: Generator
) -> int:
    """Write the files of `DIR/name`, or check them; `command` is what to run where they drifted."""
    root = Path(args.dir)
    if not root.is_dir():
        raise CommandFailed(f"there is no folder {args.dir}", help=f"name the folder that holds {name}/")
    folder = root / name
    changed = drift(folder) if args.check else write_all(folder)
    if args.format == "json":
        write_json({"checked": args.check, "folder": str(folder), "changed": changed})
    elif args.check:
        for each in changed:
            write(f"{folder / each} is out of date: run `engine {command} {args.dir}`")
    else:
        write("\n".join(f"wrote {folder / each}" for each in changed) or f"{folder} is up to date")
    return 1 if args.check and changed else 0
