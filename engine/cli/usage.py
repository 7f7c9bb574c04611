"""What was spent, by whom, against which budget; `engine usage export` writes it out.

Reads the workspace's usage store (`usage:` in engine.yaml), which a running sidecar may be writing, and how
the budgets stand in its state store. --by takes key, org, route, model, deployment, provider, role, hour,
day, month and any tag of the clients' keys; several at once. By `role` the cost of answers, hedges, judges
and mirrors stands apart. --from reads other stores, such as those of several hosts, as one.

`engine usage export --to FILE` writes every call as JSON Lines (.jsonl, or - for stdout) or Parquet
(.parquet), or into a table `engine_usage` of an SQL database (sqlite:///..., postgresql://...), where a call
that is there already is not added twice.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, ProgressBar, colour_on, message, paint, table, write, write_json

if TYPE_CHECKING:
    from engine.spec.settings import Settings
    from engine.usage.sums import Found, Span, Sums

EXPORT: Final = "export"
#: What is shown where nobody says since when.
_SINCE: Final = "30d"


def register(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="[export] [WS]", help="the workspace's folder (default: .)"
    )
    parser.add_argument("--by", metavar="NAME,..", help="what to tell apart (default: route)")
    parser.add_argument("--since", metavar="TIME", help=f"7d, or a date (default: {_SINCE}; export: all)")
    parser.add_argument("--until", metavar="TIME", help="up to then (default: now)")
    parser.add_argument(
        "--from",
        dest="files",
        action="append",
        metavar="FILE",
        help="read this store instead; again for more",
    )
    parser.add_argument("--to", metavar="FILE_OR_URL", help="export: where to")
    parser.add_argument(
        "--password", metavar="REF", help="export: the database's password, as env:NAME or file:/path"
    )


def run(args: argparse.Namespace) -> int:
    # Deferred: `engine usage --help` opens no database.
    from engine.usage.store import StoreFault
    from engine.usage.sums import UsageFault

    words: list[str] = args.words
    exports = words[:1] == [EXPORT]
    if len(words) > 1 + exports:
        raise CommandFailed(f"one argument too many: {words[-1]!r}")
    root = Path(words[-1] if len(words) > exports else ".")
    try:
        settings = _settings(root)
        zone = ZoneInfo(settings.timezone) if settings.timezone else UTC
        paths = [Path(name) for name in args.files] if args.files else _store(root, settings)
        return (_export if exports else _tell)(args, root, settings, paths, zone)
    except UsageFault as fault:
        raise CommandFailed(str(fault), help=fault.help) from None
    except StoreFault as fault:
        raise CommandFailed(str(fault), help="`usage:` in engine.yaml says where it lies") from None


def _settings(root: Path) -> Settings:
    from engine.compiler.render.text import render
    from engine.compiler.settings_alone import settings_alone
    from engine.diagnostics import Diagnostics

    if not root.is_dir():
        raise CommandFailed(f"there is no workspace at {root}", help="name the folder that holds engine.yaml")
    out = Diagnostics()
    settings, texts = settings_alone(root, out)
    if out.failed:
        sys.stderr.write(render(out.sorted(), texts, color=colour_on(sys.stderr)))
        raise CommandFailed("engine.yaml does not say where the usage lies")
    return settings


def _store(root: Path, settings: Settings) -> list[Path]:
    from engine.compiler.usage_file import usage_file

    kept = usage_file(settings)
    if kept is None:
        raise CommandFailed(
            "this workspace keeps no usage: engine.yaml says "
            + ("`usage: off`" if settings.usage == "off" else "`state: memory`"),
            help="`usage: {file: .engine/usage.db}` in engine.yaml keeps it from then on",
        )
    path = root / kept.file
    if not path.is_file():
        raise CommandFailed(
            f"no request was kept in {path} yet",
            help="`engine serve` writes it where there are keys, groups, budgets, limits or policies, or "
            "where engine.yaml says `usage: {}`; --from reads another file",
        )
    return [path]


def _span(args: argparse.Namespace, zone: tzinfo, since: str | None) -> Span:
    from engine.usage.span import moment_ms
    from engine.usage.sums import Span, UsageFault

    now = int(time.time() * 1000)
    asked = args.since or since
    span = Span(
        None if asked is None else moment_ms(asked, now, zone),
        None if args.until is None else moment_ms(args.until, now, zone),
    )
    if span.since_ms is not None and span.until_ms is not None and span.since_ms >= span.until_ms:
        raise UsageFault("--since is not before --until")
    return span


# --- what was used --------------------------------------------------------------------------------------


def _tell(args: argparse.Namespace, root: Path, settings: Settings, paths: list[Path], zone: tzinfo) -> int:
    from engine.cli.usage_budgets import as_table, budgets
    from engine.usage.sums import UsageFault, used

    if args.to is not None or args.password is not None:
        raise CommandFailed("--to and --password are for `engine usage export`")
    by = [name.strip() for name in (args.by or "route").split(",")]
    if not all(by):
        raise UsageFault("--by names nothing", "such as --by key,model")
    span = _span(args, zone, _SINCE)
    found = used(paths, by, span, zone)
    standing = [] if args.files else budgets(settings.state, root, zone)
    if args.format == "json":
        write_json(
            {
                "since": _moment(span.since_ms, zone),
                "until": _moment(span.until_ms, zone),
                "by": by,
                "rows": [{**dict(zip(by, labels, strict=True)), **sums} for labels, sums in found.rows],
                "total": found.total,
                "budgets": standing,
                "files": [str(path) for path in paths],
            }
        )
    else:
        message(
            f"since {_moment(span.since_ms, zone)}"
            + (f" until {_moment(span.until_ms, zone)}" if span.until_ms else "")
        )
        write(_table(found))
        if standing:
            write("\n" + as_table(standing))
    return 0


def _moment(ms: int | None, zone: tzinfo) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, zone).isoformat(timespec="seconds")


#: Heading -> the cell of some sums.
_CELLS: Final[dict[str, Any]] = {
    "REQUESTS": lambda sums: f"{sums['requests']:,}",
    "FAILED": lambda sums: f"{sums['failed']:,}",
    "CACHE": lambda sums: f"{sums['cache_hits']:,}",
    "CALLS": lambda sums: f"{sums['calls']:,}",
    "INPUT": lambda sums: f"{sums['input_tokens']:,}",
    "CACHED": lambda sums: f"{sums['cached_tokens']:,}",
    "OUTPUT": lambda sums: f"{sums['output_tokens']:,}",
    "COST": lambda sums: dollars(sums["cost_nanos"]) + ("+" if sums["unpriced"] else ""),
    "ESTIMATED": lambda sums: _share(sums["estimated_nanos"], sums["cost_nanos"]),
}


def _table(found: Found) -> str:
    rows = [_row([label or "-" for label in labels], sums) for labels, sums in found.rows]
    if len(rows) != 1:
        rows.append(_row(["total", *("" for _ in found.by[1:])], found.total))
    headers = [*(name.upper() for name in found.by), *_CELLS]
    count = len(found.by)
    widths = [max(len(line[at]) for line in [headers, *rows]) for at in range(len(headers))]
    text = table(
        [[c if at < count else c.rjust(widths[at]) for at, c in enumerate(row)] for row in rows],
        headers=[c if at < count else c.rjust(widths[at]) for at, c in enumerate(headers)],
    )
    if found.total["unpriced"]:
        text += f"\n+ {found.total['unpriced']:,} calls had no known price: the cost is more than this"
    return text


def _row(labels: Sequence[str], sums: Sums) -> list[str]:
    return [*labels, *(cell(sums) for cell in _CELLS.values())]


def dollars(nanos: int) -> str:
    """`$12.34`; below a dollar four digits, below a cent all there are."""
    if nanos and nanos < 10**7:
        return "$" + f"{nanos / 1e9:.9f}".rstrip("0")
    return f"${nanos / 1e9:,.{4 if 0 < nanos < 10**9 else 2}f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if part and whole else "-"


# --- export ---------------------------------------------------------------------------------------------


def _export(args: argparse.Namespace, root: Path, settings: Settings, paths: list[Path], zone: tzinfo) -> int:
    from engine.usage.export import export

    if args.to is None:
        raise CommandFailed("--to says where to", help="a file .jsonl or .parquet, or an SQL database's URL")
    if args.by is not None:
        raise CommandFailed("an export holds every call: --by is for `engine usage`")
    with ProgressBar("export", unit="") as bar:
        count = export(paths, args.to, _span(args, zone, None), args.password, bar.update)
    if args.format == "json":
        write_json({"to": args.to, "calls": count})
    else:
        message(f"{paint(f'{count:,}', 'bold', stream=sys.stderr)} calls exported to {args.to}")
    return 0
