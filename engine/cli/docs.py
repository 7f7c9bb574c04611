"""Writes the generated reference pages to DIR/docs/: the language, node kinds, defaults, failures,
diagnostics.

--check writes nothing and exits 1 if a page is missing or out of date.
"""

from __future__ import annotations

import argparse

from engine.cli.arguments import Parser
from engine.cli.generated import add_arguments, generate
from engine.docs import reference


def register(parser: Parser) -> None:
    add_arguments(parser, help="where docs/ is (default: .)")


def run(args: argparse.Namespace) -> int:
    return generate(args, "docs", "docs", write_all=reference.write, drift=reference.drift)
