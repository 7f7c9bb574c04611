"""The compiling process: `python -m engine.control.compile_child WS [--env E] [--colour]`.

Compiles once and writes a `Compiled` to stdout (compiled.py says how). The exit code is 0 whatever the
diagnostics say; anything else is a fault of the compiler itself. Only the sidecar calls it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.compiler.pipeline import compile_folder
from engine.compiler.render.text import render
from engine.control.compiled import Compiled
from engine.control.settings import ProcessSettings
from engine.spec.settings import Overload, Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.control.compile_child", description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--env")
    parser.add_argument("--colour", action="store_true")
    args = parser.parse_args()
    sys.stdout.buffer.write(compile_here(args.workspace, args.env, colour=args.colour).dump())
    sys.stdout.buffer.flush()


def compile_here(workspace: Path, env: str | None, *, colour: bool = False) -> Compiled:
    """Compile in this process: what the child does, without the process."""
    done = compile_folder(workspace, env)
    return Compiled(
        plan=done.plan,
        settings=_settings(done.settings) if done.plan is not None else None,
        diagnostics=tuple(diagnostic.as_json() for diagnostic in done.diagnostics),
        rendered=render(done.diagnostics, done.texts(), color=colour),
    )


def _settings(spec: Settings) -> ProcessSettings:
    overload = spec.overload or Overload()
    return ProcessSettings(
        listen=str(spec.listen),
        admin=str(spec.admin) if spec.admin is not None else None,
        probes=str(spec.probes) if spec.probes is not None else None,
        admin_key=str(spec.admin_key) if spec.admin_key is not None else None,
        workers=spec.workers,
        body_limit=int(spec.body_limit),
        drain_ms=int(spec.drain),
        watch=spec.watch,
        lag_ms=overload.lag,
        files=overload.files,
        memory=overload.memory,
    )


if __name__ == "__main__":
    main()
