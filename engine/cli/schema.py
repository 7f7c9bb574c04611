"""Writes the JSON Schemas of a workspace's files to DIR/schemas/, for editors and for checks.

A file names its schema in its first line, and editors with a YAML language server read it:
    # yaml-language-server: $schema=../schemas/routes.schema.json
--check writes nothing and exits 1 if a file is missing or out of date.
"""

from __future__ import annotations

import argparse

from engine.cli.arguments import Parser
from engine.cli.generated import add_arguments, generate
from engine.docs import schemas


def register(parser: Parser) -> None:
    add_arguments(parser, help="the workspace (default: .)")


def run(args: argparse.Namespace) -> int:
    return generate(args, "schemas", "schema", write_all=schemas.write, drift=schemas.drift)
