"""Compile a workspace and print what is wrong with it: no network, and no secret is needed.

Exit code 1 if there is an error (with --strict also for a warning), 0 otherwise; notes never count. With
--secrets, every secret that the plan needs must be there too: environment variables set, files readable.
The formats github and sarif are for CI: annotations on a pull request, and code scanning.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import Parser, add_workspace
from engine.cli.output import colour_on, paint, write

if TYPE_CHECKING:
    from engine.compiler.pipeline import Compiled
    from engine.diagnostics import Diagnostic

FORMATS = ("text", "json", "github", "sarif")

#: There was nothing to compile: the command was called wrong.
_CALLED_WRONG = frozenset({"E001", "E002"})


def register(parser: Parser) -> None:
    add_workspace(parser)
    parser.add_argument("--strict", action="store_true", help="warnings count as errors for the exit code")
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="compile provider and dialect files anew, and keep nothing of them",
    )
    parser.add_argument("--secrets", action="store_true", help="check that the secrets it needs are there")


def run(args: argparse.Namespace) -> int:
    # Deferred: `--help` compiles nothing.
    from engine.compiler.pipeline import compile_folder

    compiled = compile_folder(Path(args.workspace), args.env, cache=not args.no_cache)
    found = compiled.diagnostics
    if args.secrets and compiled.plan is not None:
        from engine.control.secret_check import missing_secrets

        found = (*found, *missing_secrets(compiled.plan, os.environ))
    _print(found, compiled, args.format)
    return exit_code(found, strict=args.strict)


def exit_code(found: tuple[Diagnostic, ...], *, strict: bool = False) -> int:
    """0, 1, or 2 where there was nothing to compile."""
    if any(d.code in _CALLED_WRONG for d in found):
        return 2
    counted = {"error", "warning"} if strict else {"error"}
    return 1 if any(d.severity in counted for d in found) else 0


def _print(found: tuple[Diagnostic, ...], compiled: Compiled, format: str) -> None:
    # Deferred: one renderer is needed, and not all of them.
    from importlib import import_module

    renderer = import_module(f"engine.compiler.render.{format}")
    texts = compiled.texts()
    if format != "text":
        sys.stdout.write(renderer.render(found, texts))
        return
    sys.stdout.write(renderer.render(found, texts, color=colour_on(sys.stdout)))
    plan = compiled.plan
    if plan is None or exit_code(found) != 0:
        return
    routes, deployments = len(plan.manifest.routes), len(plan.manifest.deployments)
    write(
        f"{paint('ok', 'green')}: {routes} route{'s'[: routes != 1]}, {deployments} "
        f"deployment{'s'[: deployments != 1]}, revision {plan.revision[:12]}"
    )
