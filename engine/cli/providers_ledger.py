"""`engine providers ledger CLIENT UPSTREAM`: what becomes of each field between two wire formats.

The client's format comes first, then a dialect or a provider that its requests go to. Nothing here is
declared by hand: the templates of both are asked with canonical values that hold one field each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from engine.cli.arguments import did_you_mean
from engine.cli.output import Colour, CommandFailed, message, paint, write, write_json

if TYPE_CHECKING:
    from engine.compiler.ledgers import Pair
    from engine.compiler.vendors import Vendors

_COLUMNS = (
    ("request", "request: {0.client} to {0.upstream}"),
    ("reply", "answer: {0.upstream} to {0.client}"),
    ("stream", "streamed answer: {0.upstream} to {0.client}"),
)
_COLOURS: Final[dict[str, Colour]] = {
    "dropped": "red",
    "refused": "red",
    "approximated": "yellow",
    "synthesised": "yellow",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("client", metavar="CLIENT", help="the dialect that clients speak")
    parser.add_argument("upstream", metavar="UPSTREAM", help="the dialect, or the provider, that is called")
    parser.add_argument("--model", metavar="MODEL", help="of a provider: its facts count too")


def run(vendors: Vendors, args: argparse.Namespace) -> int:
    """Print the ledger; 0, whatever stands in it. Raises CommandFailed for a name that is none."""
    found = _pair(vendors, args)
    if args.format == "json":
        columns = {name: dict(getattr(found, name)) for name, _ in _COLUMNS}
        write_json({"client": found.client, "upstream": found.upstream, **columns})
        return 0
    for name, title in _COLUMNS:
        _column(title.format(found), getattr(found, name))
    if found.client == found.upstream:
        message("one format on both sides: bodies pass untouched but for what the plan changes")
    return 0


def _pair(vendors: Vendors, args: argparse.Namespace) -> Pair:
    # Deferred: only this action binds dialects.
    from engine.compiler.ledgers import pair, vendor_write
    from engine.wire.dialect import BoundDialect

    names = vendors.dialects.names()
    client = vendors.dialect(args.client) if args.client in names else None
    if client is None:
        raise CommandFailed(f"there is no dialect {args.client!r}{did_you_mean(args.client, names)}")
    speaks = BoundDialect(client)
    if "chat" not in client.operations or speaks.operation("chat").request_read is None:
        raise CommandFailed(f"no client speaks {args.client}: it is a format of upstreams only")
    provider = vendors.vendor(args.upstream) if args.upstream not in names else None
    if provider is None and args.upstream not in names:
        every = [*names, *vendors.providers.names()]
        raise CommandFailed(
            f"there is no dialect or provider {args.upstream!r}{did_you_mean(args.upstream, every)}"
        )
    spoken = vendors.dialect(args.upstream if provider is None else provider.provider.dialect or "")
    if spoken is None or "chat" not in spoken.operations:
        raise CommandFailed(f"{args.upstream} takes no chats over HTTP")
    bound = BoundDialect(spoken)
    write_request = None if provider is None else vendor_write(provider, bound, args.model)
    return pair(speaks, bound, write_request)


def _column(title: str, ledger: Mapping[str, str]) -> None:
    from engine.wire.ledger import STATUSES

    write(paint(title, "bold"))
    for status in STATUSES:
        names = [name for name, what in ledger.items() if what == status]
        if names:
            colour = _COLOURS.get(status)
            word = f"{status} ({len(names)})"
            write(f"  {paint(word, colour) if colour else word}  {' '.join(names)}")
    write()
