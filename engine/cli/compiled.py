"""A workspace's plan for the commands that need one; its faults go to stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.output import CommandFailed, colour_on

if TYPE_CHECKING:
    from engine.compiler.pipeline import Compiled
    from engine.plan.plan import Plan


def compiled(workspace: str, env: str | None, *, quiet: bool = False) -> Compiled:
    """Compile; errors and warnings are printed to stderr (`quiet`: errors only).

    Raises:
        CommandFailed: there is no such workspace or environment.
    """
    # Deferred: the compiler is the most expensive import that a command has.
    from engine.compiler.pipeline import compile_folder
    from engine.compiler.render.text import render

    done = compile_folder(Path(workspace), env)
    for d in done.diagnostics:
        if d.code in ("E001", "E002"):
            raise CommandFailed(d.message, help=d.help)
    shown = ("error",) if quiet else ("error", "warning")
    told = [d for d in done.diagnostics if d.severity in shown]
    sys.stderr.write(render(told, done.texts(), color=colour_on(sys.stderr)))
    return done


def compiled_plan(workspace: str, env: str | None) -> Plan | None:
    """The plan, or None where the workspace does not compile: the reasons are printed."""
    return compiled(workspace, env).plan
