"""Explain one request, offline, or a diagnostic's code.

With a code (E204, or its name) the page of that diagnostic is printed. With a file, the request in it (a chat
completion's body) is run through the plan without any network, key or waiting: deployments answer, or fail as
--fail says, and what the plan does with that is told: route, path, candidates dropped, calls and their times,
the outcome, the worst cost, and the exact request of every call, its secrets masked. `-` reads the request
from stdin.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from engine.cli.arguments import Parser, did_you_mean
from engine.cli.asker import add_key, asker, told
from engine.cli.output import CommandFailed, write, write_json
from engine.plan.values import OperationName

if TYPE_CHECKING:
    from engine.explain.driver import Driven, Script
    from engine.plan.money import MoneySegment
    from engine.plan.plan import Plan
    from engine.runtime.snapshot import Snapshot

_BODY = "give the body of a chat completion, of embeddings or of a ranking"
_CODE = re.compile(r"[EWN][0-9]{3}", re.IGNORECASE)


def register(parser: Parser) -> None:
    parser.add_argument("what", metavar="REQUEST.json|CODE", help="a request's file, or a diagnostic's code")
    parser.add_argument("--workspace", "-w", default=".", metavar="WS", help="its folder (default: .)")
    parser.add_argument("--env", metavar="NAME", help="apply the overlay envs/NAME")
    parser.add_argument("--route", metavar="R", help="run this route, whatever the request's model matches")
    parser.add_argument(
        "--operation",
        choices=get_args(OperationName),
        help="what is asked with the request (default: told by its fields)",
    )
    add_key(parser)
    parser.add_argument(
        "--at", metavar="TIME", help="the time of the request, like 2026-12-01T10:00 (default: now)"
    )
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="DEP=CLASS",
        help="this deployment fails so; again for its next call, `ok` lets it answer, the last one stays",
    )
    parser.add_argument(
        "--used",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="so much of this budget or limit is used already, like month=85%% (default: nothing)",
    )


def run(args: argparse.Namespace) -> int:
    if _is_code(args.what):
        return _explain_code(args)
    return _explain_request(args)


def _is_code(what: str) -> bool:
    return _CODE.fullmatch(what) is not None or (what != "-" and "." not in what and not Path(what).exists())


def _explain_code(args: argparse.Namespace) -> int:
    # Deferred: the page needs the table of codes and nothing else here does.
    from engine.docs.codes_page import UnknownCode, page

    try:
        text = page(args.what)
    except UnknownCode as unknown:
        raise CommandFailed(str(unknown)) from None
    if args.format == "json":
        write_json({"code": args.what.upper(), "page": text})
    else:
        write(text.rstrip("\n"))
    return 0


def _explain_request(args: argparse.Namespace) -> int:
    # Deferred: only a request needs the compiler and the data plane.
    from engine.cli.compiled import compiled_plan
    from engine.errors import RequestError
    from engine.explain.driver import ScriptedUpstream, drive, scripted_snapshot
    from engine.explain.wire import Previews, wire_requests
    from engine.runtime.clock import VirtualClock
    from engine.runtime.reading import asked, read_body, spoken

    body = _body(args.what)
    plan = compiled_plan(args.workspace, args.env)
    if plan is None:
        return 1
    script = _script(args.fail, sorted(plan.manifest.deployments))
    routes = sorted(plan.manifest.routes)
    if args.route is not None and args.route not in routes:
        raise CommandFailed(f"there is no route {args.route!r}{did_you_mean(args.route, routes)}")
    snapshot = scripted_snapshot(plan, ScriptedUpstream(VirtualClock(), script))
    try:
        operation = args.operation or asked(body)
        request = read_body(snapshot, operation, body)
    except RequestError as error:
        where = f"{error.param}: " if error.param else ""
        raise CommandFailed(f"{args.what}: {where}{error.message}") from None
    dialect = spoken(body, operation)
    key = asker(args.key, plan, args.workspace)
    driven = drive(
        plan,
        request,
        operation=operation,
        script=script,
        route=args.route,
        wall=_wall(args.at, snapshot),
        key=key,
        dialect=dialect,
        body=None if dialect is None else body,
        refuses=Previews(snapshot).refuses,
        used=_used(args.used, plan.money()),
    )
    sent = wire_requests(snapshot, driven.asks)
    if args.format == "json":
        write_json(_as_json(driven, plan, sent))
    else:
        who = told(snapshot.person(key))
        write("\n".join([*([] if who is None else [who]), *_as_text(driven, sent)]))
    return 0


def _body(what: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if what == "-" else Path(what).read_text(encoding="utf-8")
        body = json.loads(text)
    except (ValueError, OSError) as error:
        raise CommandFailed(f"{what}: {error}", help=_BODY) from None
    if not isinstance(body, dict):
        raise CommandFailed(
            f"{what} holds no JSON object",
            help=_BODY,
        )
    return body


def _used(said: list[str], money: MoneySegment) -> dict[str, float]:
    """What is used of budgets and limits, by `budget/NAME` and `limit/NAME`; one name may be both."""
    from engine import units

    found: dict[str, float] = {}
    for each in said:
        name, _, share = each.partition("=")
        kinds = [
            kind for kind, named in (("budget", money.budgets), ("limit", money.limits)) if name in named
        ]
        if not kinds:
            guess = did_you_mean(name, sorted({*money.budgets, *money.limits}))
            raise CommandFailed(f"there is no budget and no limit {name!r}{guess}")
        try:
            found.update(dict.fromkeys([f"{kind}/{name}" for kind in kinds], units.ratio(share)))
        except units.UnitError as error:
            raise CommandFailed(f"--used {each}: {error.message}", help=error.help) from None
    return found


def _script(fails: list[str], deployments: list[str]) -> Script:
    from engine.explain.driver import Play
    from engine.policies.failures import FailureClass

    classes = get_args(FailureClass)
    script: dict[str, list[Play]] = {}
    for item in fails:
        name, equals, failure = item.partition("=")
        if not equals:
            raise CommandFailed(f"--fail {item}: write DEPLOYMENT=CLASS", help="like --fail gpt=overloaded")
        if name not in deployments:
            raise CommandFailed(f"--fail {item}: no deployment {name!r}{did_you_mean(name, deployments)}")
        if failure != "ok" and failure not in classes:
            near = did_you_mean(failure, classes)
            raise CommandFailed(f"--fail {item}: no failure class {failure!r}{near}")
        told = None if failure == "ok" else cast("FailureClass", failure)
        script.setdefault(name, []).append(Play(failure=told))
    return script


def _wall(at: str | None, snapshot: Snapshot) -> float:
    if at is None:
        return datetime.now(UTC).timestamp()
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        raise CommandFailed(f"--at {at}: write a time like 2026-12-01T10:00") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=snapshot.zone)).timestamp()


def _as_text(driven: Driven, sent: list[dict[str, Any]]) -> list[str]:
    from engine.explain.why import prose, show_cost
    from engine.explain.wire import wire_text

    worst = "unknown: a price or an output limit is missing"
    if driven.worst_cost is not None:
        worst = f"{show_cost(driven.worst_cost)} over all calls this request may make"
    told = prose(driven.record, driven.error, driven.copies, driven.limits)
    return [*told, f"Worst cost: {worst}.", *wire_text(sent)]


def _as_json(driven: Driven, plan: Plan, sent: list[dict[str, Any]]) -> dict[str, Any]:
    from engine.runtime.sinks import as_json

    error = driven.error
    return {
        "revision": plan.revision,
        "record": as_json(driven.record),
        "copies": [as_json(each) for each in driven.copies],
        "limits": [each._asdict() for each in driven.limits],
        "worst_cost": driven.worst_cost,
        "calls": [ask.deployment.name for ask in driven.asks],
        "requests": sent,
        "error": None
        if error is None
        else {"status": error.status, "code": error.code, "message": error.message},
    }
