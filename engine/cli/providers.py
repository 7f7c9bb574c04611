"""Vendors: what they speak, where they run, what their models cost and can do.

`list` names every provider that a deployment may use: those that the engine ships and those of the workspace.
`show NAME` prints one in full, `facts MODEL` all that is known of a model wherever it is offered. `check`
runs the samples of provider and dialect files: examples that say what must go over the wire and how an answer
or an error reads; exit 1 if one does not hold. `ledger` tells what is lost between a client's format and an
upstream's. No network, no keys.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.cli import providers_facts, providers_ledger
from engine.cli.arguments import Parser, did_you_mean
from engine.cli.output import CommandFailed, colour_on, message, paint, table, write, write_json

if TYPE_CHECKING:
    from engine.compiler.document import Document
    from engine.compiler.models import Models
    from engine.compiler.vendors import Vendors
    from engine.plan.types import Credential
    from engine.plan.vendors import Facts, Provider
    from engine.spec.provider import ProviderSpec

#: Slots of a scheme that say who somebody is, and are no keys.
_WHO = frozenset({"client_id", "tenant", "issuer", "key_id", "subject"})
#: Models that a screen shows of a long table.
_SHOWN: Final = 40


def register(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser("list", help="all providers")
    show = actions.add_parser("show", help="one provider: auth, regions, models, prices, abilities")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--models", metavar="PATTERN", help="only models whose names match, like 'gpt-5*'")
    facts = actions.add_parser("facts", help="one model at every provider: limits, abilities, prices")
    providers_facts.arguments(facts)
    check = actions.add_parser("check", help="run the samples of provider and dialect files")
    check.add_argument("name", nargs="?", metavar="NAME", help="of a provider or dialect (default: all)")
    ledger = actions.add_parser("ledger", help="what becomes of each field between two wire formats")
    providers_ledger.arguments(ledger)
    for leaf in (every, show, facts, check, ledger):
        leaf.add_argument(
            "--workspace", default=".", metavar="WS", help="whose providers.d counts too (default: .)"
        )


def run(args: argparse.Namespace) -> int:
    reader = _Reader(Path(args.workspace))
    actions = {"list": _list, "show": _show, "facts": _facts, "check": _check, "ledger": _ledger}
    return actions[args.action](reader, args)


class _Reader:
    """The provider and dialect files of a workspace; their faults go to stderr once, at the end."""

    def __init__(self, root: Path) -> None:
        # Deferred: the compiler is the most expensive import that a command has.
        from engine.compiler.load import load
        from engine.compiler.parse import parse
        from engine.compiler.vendors import Vendors
        from engine.diagnostics import Diagnostics

        self.out = Diagnostics()
        sources = load(root, None, self.out)
        if self.out.failed:
            first = next(d for d in self.out if d.severity == "error")
            raise CommandFailed(first.message, help=first.help)
        files = [source for source in sources.files if source.kind in ("provider", "dialect")]
        documents = [document for source in files if (document := parse(source, self.out)) is not None]
        self.sources = sources
        self.vendors: Vendors = Vendors(sources, documents, self.out)

    def spec(self, name: str) -> ProviderSpec | None:
        from engine.compiler.shape import shape
        from engine.spec.provider import ProviderSpec

        document = self.vendors.providers.get(name)
        return shape(ProviderSpec, document, self.out) if document is not None else None

    def told(self) -> bool:
        """Print what is wrong with the files; True if something is."""
        from engine.compiler.render.text import render

        texts = {**self.sources.texts(), **{d.source.path: d.source.text for d in self.vendors.documents()}}
        sys.stderr.write(render(self.out.sorted(), texts, color=colour_on(sys.stderr)))
        return self.out.failed


def _list(reader: _Reader, args: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    gone: dict[str, str] = {}
    for name in reader.vendors.providers.names():
        if (retired := reader.vendors.retired(name)) is not None:
            gone[name] = retired
            continue
        vendor = reader.vendors.vendor(name)
        if vendor is None:
            continue
        provider, secret = vendor.provider, _secret(vendor.provider, vendor.credential)
        rows.append(
            {
                "name": name,
                "title": provider.title,
                "category": provider.category,
                "dialect": provider.dialect,
                "operations": list(provider.operations),
                "regions": list(provider.regions),
                "models": len(vendor.models.names()),
                "auth": provider.auth.scheme,
                "secret": secret,
                "secret_set": None if secret is None else _is_set(secret),
                "own": vendor.own,
            }
        )
    if args.format == "json":
        write_json({"providers": rows, "retired": gone})
    else:
        cells = [
            [
                r["name"],
                r["category"],
                r["dialect"] or "-",
                " ".join(r["operations"]),
                " ".join(r["regions"]) if len(r["regions"]) < 6 else f"{len(r['regions'])} regions",
                str(r["models"] or "any"),
                _key(r),
            ]
            for r in rows
        ]
        headers = ["PROVIDER", "CATEGORY", "DIALECT", "OPERATIONS", "REGIONS", "MODELS", "KEY"]
        write(table(cells, headers=headers))
        for name, why in gone.items():
            message(f"{name} is no more: {why}")
    return 1 if reader.told() else 0


def _show(reader: _Reader, args: argparse.Namespace) -> int:
    name = reader.vendors.providers.canonical(args.name)
    if name is None:
        near = did_you_mean(args.name, reader.vendors.providers.names())
        raise CommandFailed(
            f"there is no provider {args.name!r}{near}", help="`engine providers list` names them"
        )
    vendor, spec = reader.vendors.vendor(name), reader.spec(name)
    if vendor is None or spec is None:
        reader.told()
        return 1
    row = _described(vendor.provider, spec, vendor.models, args.models or "*")
    row["secret"] = _secret(vendor.provider, vendor.credential)
    if args.format == "json":
        write_json(row)
        return 0
    _print(row)
    return 0


def _facts(reader: _Reader, args: argparse.Namespace) -> int:
    providers_facts.show(reader.vendors, args)
    return 1 if reader.told() else 0


def _described(provider: Provider, spec: ProviderSpec, models: Models, pattern: str) -> dict[str, Any]:
    now = time.time()
    return {
        "name": provider.name,
        "title": provider.title,
        "category": provider.category,
        "aliases": list(spec.aliases or ()),
        "dialect": provider.dialect,
        "auth": {"scheme": provider.auth.scheme, **provider.auth.params, "pattern": provider.auth.pattern},
        "regions": {
            region.name: {
                "base_url": region.base_url,
                "residency": region.residency,
                "price": region.price,
                "default": region.name == provider.default_region,
            }
            for region in provider.regions.values()
        },
        "rename": dict(provider.rename),
        "drop": list(provider.drop),
        "compliance": list(spec.compliance or ()),
        "unknown_models": models.unknown,
        "models": {
            name: _model(facts, models.wire(name), now)
            for name in models.names()
            if fnmatchcase(name, pattern) and (facts := models.facts(name)) is not None
        },
    }


def _model(facts: Facts, wire: str, now: float) -> dict[str, Any]:
    """The facts in short; the price is the one of this moment, for a small input."""
    # Deferred: only what shows a provider asks for prices.
    from engine.wire.pricing import row_at

    price = row_at(facts.prices, now)
    dollars = {
        key: None if value is None else value / 10**9
        for key, value in (
            ("input", price.input if price else None),
            ("output", price.output if price else None),
            ("cached", price.cached if price else None),
            ("cache_write", price.cache_write if price else None),
        )
    }
    return {
        "id": wire,
        "context": facts.context,
        "output": facts.output,
        "can": None if facts.can is None else list(facts.can),
        "usd_per_million": dollars if price is not None else None,
        "source": facts.source,
    }


def _print(row: dict[str, Any]) -> None:
    write(f"{paint(row['name'], 'bold')}  {row['title']} ({row['category']})")
    write(f"speaks    {row['dialect'] or 'nothing over HTTP: it runs inside the engine'}")
    scheme = row["auth"]["scheme"]
    write(f"auth      {scheme}" + (f", {_key({'secret': row['secret']})}" if scheme != "none" else ""))
    for name, region in row["regions"].items():
        price = f", price x{region['price']:g}" if region["price"] != 1 else ""
        default = " (default)" if region["default"] and len(row["regions"]) > 1 else ""
        where = region["base_url"] or "this process"
        write(f"region    {name}{default}  {where}, residency {region['residency']}{price}")
    for old, new in row["rename"].items():
        write(f"renames   {old} to {new}")
    if row["drop"]:
        write(f"leaves out  {', '.join(row['drop'])}")
    for note in row["compliance"]:
        write(f"note      {note}")
    if row["models"]:
        write()
        shown = list(row["models"].items())[:_SHOWN]
        cells = [
            [
                name,
                _count(m["context"]),
                _count(m["output"]),
                _dollars(m, "input"),
                _dollars(m, "output"),
                _dollars(m, "cached"),
                "?" if m["can"] is None else " ".join(m["can"]),
            ]
            for name, m in shown
        ]
        headers = ["MODEL", "CONTEXT", "OUTPUT", "IN $/M", "OUT $/M", "CACHED", "CAN"]
        write(table(cells, headers=headers))
        if len(shown) < len(row["models"]):
            more = len(row["models"]) - len(shown)
            message(f"and {more} more: `--models PATTERN` narrows, `--format json` has all")
        sources = sorted({m["source"] for m in row["models"].values() if m["source"]})
        if sources:
            message(f"prices: {'; '.join(sources)}")
    if row["unknown_models"]:
        message("a deployment may name any model, listed or not")


def _check(reader: _Reader, args: argparse.Namespace) -> int:
    # Deferred: only this action runs samples.
    from engine.compiler.provider_samples import check_provider
    from engine.compiler.samples import Failed, check_dialect
    from engine.compiler.shape import shape
    from engine.spec.dialect import DialectSpec

    vendors = reader.vendors
    names = [*vendors.dialects.names(), *vendors.providers.names()]
    if args.name is not None and args.name not in names:
        raise CommandFailed(f"there is no provider or dialect {args.name!r}{did_you_mean(args.name, names)}")
    count = 0
    failed: list[tuple[Document, Failed]] = []
    for name in vendors.dialects.names():
        document, dialect = vendors.dialects.get(name), vendors.dialect(name)
        if document is None or dialect is None or args.name not in (None, name):
            continue
        spec = shape(DialectSpec, document, reader.out)
        if spec is not None:
            count += len(spec.samples or ())
            failed += [(document, each) for each in check_dialect(spec, dialect)]
    for name in vendors.providers.names():
        vendor, own = vendors.vendor(name), reader.spec(name)
        if vendor is None or own is None or vendor.provider.dialect is None or args.name not in (None, name):
            continue
        count += len(own.samples or ())
        found = check_provider(own, vendor.provider, vendor.models, vendors.dialect)
        failed += [(vendor.document, each) for each in found]
    if args.format == "json":
        rows = [
            {
                "file": document.span(("samples", f.number)).file,
                "line": document.span(("samples", f.number)).line,
                "sample": f.name,
                "number": f.number,
                "field": f.field,
                "message": f.message,
            }
            for document, f in failed
        ]
        write_json({"samples": count, "failed": rows})
    else:
        for document, each in failed:
            place = document.span(("samples", each.number))
            field = f"samples[{each.number}]" + (f".{each.field}" if each.field else "")
            at = f"{place.file}:{place.line}: {field}"
            write(f"{paint('failed', 'red')}  {at}: {each.name}: {each.message}")
        write(f"{count} samples, {len(failed)} failed")
    return 1 if reader.told() or failed else 0


def _ledger(reader: _Reader, args: argparse.Namespace) -> int:
    code = providers_ledger.run(reader.vendors, args)
    return 1 if reader.told() else code


def _secret(provider: Provider, credential: Credential | None) -> str | None:
    """The place that counts now; where none is set, the first. Of a scheme with several, its keys only."""
    told = [credential.secrets if credential else {}, provider.auth.secrets]
    told += [member.secrets for member in provider.auth.any_of]
    places = [str(place) for each in told for slot in each if slot not in _WHO for place in each[slot]]
    return next((place for place in places if _is_set(place)), places[0] if places else None)


def _is_set(secret: str) -> bool:
    source, _, name = secret.partition(":")
    return bool(os.environ.get(name)) if source == "env" else Path(name).is_file()


def _key(row: dict[str, Any]) -> str:
    secret = row.get("secret")
    if secret is None:
        return "none" if row["auth"] == "none" else str(row["auth"])
    return f"{secret} ({'set' if _is_set(secret) else 'not set'})"


def _count(number: int | None) -> str:
    # Deferred: units are needed here only.
    from engine.units import show_count

    return "?" if number is None else show_count(number)


def _dollars(model: dict[str, Any], key: str) -> str:
    prices = model["usd_per_million"]
    value = None if prices is None else prices[key]
    return "?" if value is None else "free" if value == 0 else f"{value:g}"
