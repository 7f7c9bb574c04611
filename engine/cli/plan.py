"""Show the compiled plan of a workspace, or what a change to it changes.

For people: each route as a tree, with the most calls and time a request can take and the regions its data
may reach. `--format json` prints the canonical plan: the same workspace gives the same bytes, and `revision`
is their digest. `--effective` shows each written value and the place it came from, after overlays.

`--against WS_OR_PLAN` compares with another workspace or a plan written by --out: what is shown is the way
from that one to this one. Exit code 0 if nothing changes, 1 if something does, 2 if one of the two does not
compile. (Terraform's -detailed-exitcode is the other way round.) It also says what becomes of state when a
running sidecar takes the change: latency, health and open calls of a deployment survive, move to its new
name, or are reset where the name stands for another place (provider, address, model); counts of a budget or
limit survive, move to a new name that says `was:`, or are reset where unit, window or `per` changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import Parser, add_workspace
from engine.cli.output import CommandFailed, message, write, write_json

if TYPE_CHECKING:
    from engine.compiler.pipeline import Compiled
    from engine.plan.plan import Plan


def register(parser: Parser) -> None:
    add_workspace(parser)
    view = parser.add_mutually_exclusive_group()
    view.add_argument(
        "--effective", action="store_true", help="each value of the merged workspace and where it stands"
    )
    view.add_argument("--against", metavar="WS_OR_PLAN", help="show what changes from there to here")
    parser.add_argument("--route", metavar="NAME", help="only this route")
    parser.add_argument("--out", metavar="FILE", help="also write the canonical plan to FILE")


def run(args: argparse.Namespace) -> int:
    # Deferred: `--help` compiles nothing.
    from engine.cli.compiled import compiled

    done = compiled(args.workspace, args.env)
    if args.effective:
        return _effective(done, args.format)
    if done.plan is None:
        return 2 if args.against else 1
    if args.out:
        Path(args.out).write_bytes(done.plan.dump() + b"\n")
        message(f"wrote {args.out}")
    if args.against:
        state = str(done.settings.state), Path(args.workspace)
        return _compare(_other(args.against, args.env), done.plan, args.format, *state)
    if args.format == "json":
        sys.stdout.flush()
        sys.stdout.buffer.write(done.plan.dump() + b"\n")
        sys.stdout.buffer.flush()
        return 0
    from engine.compiler.overspend import counting
    from engine.explain import plan_view

    write(plan_view.show(done.plan, _only(done.plan, args.route), counting(done.settings)))
    return 0


def _only(plan: Plan, route: str | None) -> tuple[str, ...] | None:
    if route is None:
        return None
    if route not in plan.manifest.routes:
        raise CommandFailed(
            f"there is no route {route!r}", help="there is: " + ", ".join(sorted(plan.manifest.routes))
        )
    return (route,)


def _compare(old: Plan, new: Plan, format: str, store: str, root: Path) -> int:
    from engine.cli.plan_amounts import amounts
    from engine.explain import plan_diff
    from engine.plan.fate import fate
    from engine.plan.fate_names import Names

    found = plan_diff.compare(old, new)
    state = fate(old, new)
    told = amounts(old, new, state.budgets, store, root) if found and old.money().budgets else []
    if format == "json":
        changes = [difference.as_json() for difference in found]
        words = state.as_json()
        if told:
            words["budgets"]["amounts"] = told
        write_json({"from": old.revision, "to": new.revision, "differences": changes, "state": words})
    else:
        write(plan_diff.show(found))
        if found:
            write(f"state of deployments: {state.deployments}")
            write(f"state of routes: {state.routes}")
            for what, names in (("budgets", state.budgets), ("limits", state.limits)):
                if names != Names():
                    write(f"counts of {what}: {names}")
            for line in told:
                write(f"  {line}")
    return 1 if found else 0


def _other(where: str, env: str | None) -> Plan:
    """The plan of a workspace's folder (under the same environment), or of a file."""
    from engine.cli.compiled import compiled
    from engine.kinds import table  # noqa: F401 - makes the node kinds known to the decoder
    from engine.plan.codec import PlanDecodeError
    from engine.plan.plan import Plan

    path = Path(where)
    if path.is_file():
        try:
            return Plan.load(path.read_bytes())
        except PlanDecodeError as error:
            raise CommandFailed(f"{where}: {error}", help="write one with engine plan --out FILE") from None
    plan = compiled(where, env, quiet=True).plan
    if plan is None:
        raise CommandFailed(f"the workspace {where} does not compile")
    return plan


def _effective(done: Compiled, format: str) -> int:
    """The merged workspace, leaf by leaf, also where it does not compile: that is when it is needed."""
    from engine.compiler.effective import leaves

    rows = leaves(done.effective) if done.effective is not None else []
    if format == "json":
        write_json([{"path": row.path, "value": row.value, "at": str(row.span)} for row in rows])
    else:
        width = max(
            (len(row.path) + len(json.dumps(row.value, ensure_ascii=False)) for row in rows), default=0
        )
        for row in rows:
            text = f"{row.path}: {json.dumps(row.value, ensure_ascii=False)}"
            write(f"{text.ljust(min(width + 2, 80))}  # {row.span}")
    return 0 if done.plan is not None else 1
