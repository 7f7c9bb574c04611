"""Writes the JSON Schemas of a workspace's files to DIR/schemas/, for editors and for checks.

A file names its schema in its first line, and editors with a YAML language server read it:
    # yaml-language-server: $schema=../schemas/routes.schema.json
--check writes nothing and exits 1 if a file is missing or out of date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, write, write_json
from engine.docs import schemas


def register(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", nargs="?", default=".", help="the workspace (default: .)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")


def run(args: argparse.Namespace) -> int:
    root = Path(args.dir)
    if not root.is_dir():
        raise CommandFailed(f"there is no folder {args.dir}", help="name the workspace's folder")
    folder = root / "schemas"
    changed = schemas.drift(folder) if args.check else schemas.write(folder)
    if args.format == "json":
        write_json({"checked": args.check, "folder": str(folder), "changed": changed})
    elif args.check:
        for name in changed:
            write(f"{folder / name} is out of date: run `engine schema {args.dir}`")
    else:
        write("\n".join(f"wrote {folder / name}" for name in changed) or f"{folder} is up to date")
    return 1 if args.check and changed else 0
