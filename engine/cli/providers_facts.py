"""`engine providers facts MODEL`: everything that is known of a model, at every provider that has it.

A model is found by its name there (`accounts/fireworks/models/gpt-oss-120b`) and by the part that vendors
share (`gpt-oss-120b`). What a provider file says counts before its table, as it does for a deployment; tables
whose provider has no file yet are looked at too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engine.cli.arguments import did_you_mean
from engine.cli.output import CommandFailed, message, paint, write, write_json

if TYPE_CHECKING:
    from engine.compiler.models import Models
    from engine.compiler.vendors import Vendors
    from engine.plan.vendors import PriceRow, PriceTier

#: Facts that are listed as they are, in this order.
_FACTS: Final = (
    "context", "output", "modalities", "can", "sampling", "thinking", "efforts", "upstream", "dialect",
    "forced_tools", "schema_by", "api_version", "max_tokens_field", "tokenizer", "overhead",
)  # fmt: skip
#: What a table knows beside the facts of a plan.
_BESIDE: Final = ("operation", "retires", "differs")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--provider", metavar="NAME", help="only there")


def show(vendors: Vendors, args: argparse.Namespace) -> None:
    """Print what is known of `args.model`, at `args.provider` if one is named.

    Raises:
        CommandFailed: nobody has such a model, or not that provider; what is like it is said.
    """
    known = dict(_providers(vendors))
    only = vendors.providers.canonical(args.provider) or args.provider if args.provider else None
    if only is not None and only not in known:
        raise CommandFailed(f"there is no provider {args.provider!r}{did_you_mean(args.provider, known)}")
    found = {
        name: [each for each in models.names() if _same(args.model, each)] for name, models in known.items()
    }
    rows = [
        _row(name, each, known[name])
        for name, names in found.items()
        for each in names
        if only in (None, name)
    ]
    if not rows:
        raise _nobody(args.model, only, known, [name for name, names in found.items() if names])
    if args.format == "json":
        write_json({"model": args.model, "found": rows})
        return
    for number, row in enumerate(rows):
        if number:
            write()
        _print(row)
    message("dollars per million tokens; a price in hours (UTC) counts before one without")


def _providers(vendors: Vendors) -> Iterator[tuple[str, Models]]:
    from engine.compiler.facts_table import table, table_names
    from engine.compiler.models import Models

    files = vendors.providers.names()
    for name in sorted({*files, *table_names()}):
        if name not in files:
            yield name, Models({}, table(name))
        elif (vendor := vendors.vendor(name)) is not None:
            yield name, vendor.models


def _same(asked: str, name: str) -> bool:
    return asked == name or _bare(asked) == _bare(name)


def _bare(name: str) -> str:
    """The part of a name that vendors share: without the publisher before it and a variant behind."""
    return name.rpartition("/")[2].partition(":")[0].casefold()


def _nobody(model: str, only: str | None, known: Mapping[str, Models], elsewhere: list[str]) -> CommandFailed:
    if only is not None and elsewhere:
        return CommandFailed(f"{only} has no model {model!r}", help=f"it is at: {', '.join(elsewhere)}")
    asked = [models for provider, models in known.items() if only in (None, provider)]
    names = {name for models in asked for name in models.names()}
    near = did_you_mean(model, names | {_bare(name) for name in names})
    return CommandFailed(
        f"{only or 'no provider'} has {'no' if only else 'a'} model {model!r}{near}",
        help="`engine providers show NAME` lists a provider's models",
    )


def _row(provider: str, name: str, models: Models) -> dict[str, Any]:
    facts = models.facts(name)
    assert facts is not None, name
    wire = models.wire(name)
    beside = models.table.rows.get(wire, {}) if models.table is not None else {}
    said = {key: getattr(facts, key) for key in _FACTS}
    rules = [models.table.rules[number] for number in beside.get("rules", ())] if models.table else []
    return {
        "provider": provider,
        "model": name,
        "id": wire,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in said.items()},
        **{key: beside.get(key) for key in _BESIDE},
        "prices": [_price(row) for row in facts.prices],
        "source": facts.source,
        "rules": rules,
    }


def _price(row: PriceRow) -> dict[str, Any]:
    found = _dollars(row)
    if row.request:
        found["request"] = row.request / 10**9
    if row.since is not None:
        found["since"] = _day(row.since)
    if row.until is not None:
        found["until"] = _day(row.until)
    if row.hours:
        found["hours"] = [
            {"from": _clock(h.start), "to": _clock(h.end), "days": list(h.days) or [1, 2, 3, 4, 5, 6, 7]}
            for h in row.hours
        ]
    if row.tiers:
        found["tiers"] = [{"above": tier.above, **_dollars(tier)} for tier in row.tiers]
    found["source"] = row.source
    return found


def _dollars(row: PriceRow | PriceTier) -> dict[str, Any]:
    from engine.wire.pricing import KINDS

    values = {kind: getattr(row, kind) for kind in KINDS}
    return {kind: value / 10**9 for kind, value in values.items() if value is not None}


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _print(row: dict[str, Any]) -> None:
    other = f", called {row['id']} there" if row["id"] != row["model"] else ""
    operation = f", {row['operation']}" if row["operation"] else ""
    write(f"{paint(row['model'], 'bold')} at {row['provider']}{other}{operation}")
    for key in (*_FACTS, "retires"):
        if row[key] is not None:
            write(f"  {key:<17} {_words(row[key])}")
    for price in row["prices"]:
        write(f"  {'price':<17} {_price_words(price)}")
    if not row["prices"]:
        write(f"  {'price':<17} unknown")
    for source, prices in (row["differs"] or {}).items():
        told = ", ".join(f"{kind} ${price:g}" for kind, price in prices.items())
        write(f"  {'differs':<17} {source} says {told}")
    for source in dict.fromkeys(each for each in (row["source"], *row["rules"]) if each):
        write(f"  {'source':<17} {source}")


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return str(value)


def _price_words(price: dict[str, Any]) -> str:
    parts = [_kinds(price)]
    parts += [f"above {tier['above']} of input: {_kinds(tier)}" for tier in price.get("tiers", ())]
    when = [f"{word} {price[key]}" for word, key in (("from", "since"), ("until", "until")) if key in price]
    when += [f"{h['from']}-{h['to']}{_days(h['days'])}" for h in price.get("hours", ())]
    told = f"  [{', '.join(when)}]" if when else ""
    return "; ".join(parts) + told + (f"  ({price['source']})" if price["source"] else "")


def _kinds(price: dict[str, Any]) -> str:
    from engine.wire.pricing import KINDS

    kinds = [f"{kind.replace('_', ' ')} ${price[kind]:g}" for kind in (*KINDS, "request") if kind in price]
    return ", ".join(kinds)


def _days(days: list[int]) -> str:
    return "" if len(days) == 7 else " on " + "".join("MTWTFSS"[day - 1] for day in days)
