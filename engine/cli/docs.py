"""Writes the generated reference pages to DIR/docs/: the language, node kinds, defaults, failures,
diagnostics.

--check writes nothing and exits 1 if a page is missing or out of date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, write, write_json
from engine.docs import reference


def register(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", nargs="?", default=".", help="where docs/ is (default: .)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")


def run(args: argparse.Namespace) -> int:
    root = Path(args.dir)
    if not root.is_dir():
        raise CommandFailed(f"there is no folder {args.dir}", help="name the folder that holds docs/")
    folder = root / "docs"
    changed = reference.drift(folder) if args.check else reference.write(folder)
    if args.format == "json":
        write_json({"checked": args.check, "folder": str(folder), "changed": changed})
    elif args.check:
        for name in changed:
            write(f"{folder / name} is out of date: run `engine docs {args.dir}`")
    else:
        write("\n".join(f"wrote {folder / name}" for name in changed) or f"{folder} is up to date")
    return 1 if args.check and changed else 0
