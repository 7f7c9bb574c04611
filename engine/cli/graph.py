"""Draw the route graph of a workspace: Mermaid or DOT on stdout, or a file.

`-o FILE` chooses by its ending: .mmd (Mermaid, which GitHub and most wikis draw), .dot (Graphviz), .svg
(needs Graphviz's program `dot`). Without -o Mermaid is printed; `--format json` prints the text in JSON.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from engine.cli.arguments import Parser, add_workspace, did_you_mean
from engine.cli.output import CommandFailed, message, write, write_json

_ENDINGS = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


def register(parser: Parser) -> None:
    add_workspace(parser)
    parser.add_argument("--route", metavar="NAME", help="only this route")
    parser.add_argument("-o", "--out", metavar="FILE", help="write to FILE (.mmd, .dot or .svg)")


def run(args: argparse.Namespace) -> int:
    # Deferred: `--help` compiles nothing.
    from engine.cli.compiled import compiled_plan
    from engine.explain import graph

    language = _language(args.out)
    plan = compiled_plan(args.workspace, args.env)
    if plan is None:
        return 1
    names = sorted(plan.manifest.routes)
    if args.route is not None:
        if args.route not in names:
            near = did_you_mean(args.route, names)
            raise CommandFailed(
                f"there is no route {args.route!r}{near}", help=f"there is: {', '.join(names)}"
            )
        names = [args.route]
    text = graph.mermaid(plan, names) if language == "mermaid" else graph.dot(plan, names)
    if args.out is not None:
        _save(Path(args.out), text, language)
        message(f"wrote {args.out}")
    if args.format == "json":
        write_json({"revision": plan.revision, "routes": names, "language": language, "graph": text})
    elif args.out is None:
        write(text.rstrip("\n"))
    return 0


def _language(out: str | None) -> str:
    if out is None:
        return "mermaid"
    ending = Path(out).suffix.lower()
    if ending not in _ENDINGS:
        raise CommandFailed(
            f"{out}: no kind of graph ends in {ending or 'nothing'}", help="use .mmd, .dot or .svg"
        )
    language = _ENDINGS[ending]
    if language == "svg" and shutil.which("dot") is None:
        raise CommandFailed(
            "an .svg is drawn by Graphviz, and its program `dot` is not installed",
            help="install Graphviz, or write .mmd (Mermaid) or .dot",
        )
    return language


def _save(path: Path, text: str, language: str) -> None:
    if language != "svg":
        path.write_text(text, "utf-8", newline="\n")
        return
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(f"dot failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    path.write_bytes(done.stdout)
