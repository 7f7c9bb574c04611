"""Look at this machine: parts, execution providers, models, ports, and which secrets are set (names only).

Nothing is sent anywhere and no secret's value is shown. Exit code 1 if something is found that keeps the
engine from working; notes and warnings alone exit 0.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from engine.cli.arguments import Parser, add_workspace
from engine.cli.machine import Finding, examine
from engine.cli.output import Colour, paint, write, write_json

_COLOURS: dict[str, Colour] = {"ok": "green", "note": "blue", "warning": "yellow", "error": "red"}


def register(parser: Parser) -> None:
    add_workspace(parser, env=False)


def run(args: argparse.Namespace) -> int:
    findings = examine(Path(args.workspace))
    wrong = any(finding.state == "error" for finding in findings)
    if args.format == "json":
        write_json({"healthy": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        _write(findings)
    return 1 if wrong else 0


def _write(findings: list[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for area, group in groupby(findings, key=lambda finding: finding.area):
        write(paint(area, "bold"))
        for finding in group:
            state = paint(finding.state.ljust(7), _COLOURS[finding.state])
            write(f"  {state}  {finding.name.ljust(width)}  {finding.detail}")
            if finding.help:
                write(f"  {' ' * 7}  {' ' * width}  {paint(finding.help, 'dim')}")
