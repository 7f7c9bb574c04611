"""Client keys: new, list, revoke, rotate.

A key is shown once, when it is made; what is kept is its hash, in the state store (`state:` in engine.yaml),
where every running sidecar of it learns of it within a second. With --print nothing is kept: the YAML for
`keys: {clients: ...}` goes to stdout, and into Git from there; the key itself goes to stderr.

`rotate` gives a client another key; the old one stays good for --overlap. `revoke` takes all keys of a client
away, by its name or id, at once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, message, table, write, write_json

if TYPE_CHECKING:
    from engine.cli.keys_place import Place
    from engine.state.keys import Said, StoredKey


def register(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key for a new client")
    new.add_argument("name", metavar="NAME", help="of the client")
    new.add_argument("--org", metavar="O", default="", help="the organisation it belongs to")
    new.add_argument("--tag", metavar="NAME=VALUE", action="append", default=[], help="a tag; again for more")
    new.add_argument("--group", metavar="G", action="append", default=[], help="a group it is in")
    new.add_argument("--models", metavar="M,..", help="the only models it may ask for")
    new.add_argument("--limit", metavar="L", action="append", default=[], help="a limit that holds for it")
    new.add_argument("--budget", metavar="B", action="append", default=[], help="a budget that holds for it")
    new.add_argument("--ip", metavar="RANGE", action="append", default=[], help="where it may come from")
    new.add_argument("--print", action="store_true", help="keep nothing: print YAML for Git")
    rotate = actions.add_parser("rotate", help="make another key for a client")
    rotate.add_argument("name", metavar="NAME|ID")
    rotate.add_argument(
        "--overlap", metavar="TIME", default="1h", help="how long the old one stays good (default: 1h)"
    )
    for made in (new, rotate):
        made.add_argument("--expires", metavar="WHEN", help="90d from now, or a date (default: never)")
    actions.add_parser("list", help="the clients and their keys; no key is shown")
    revoke = actions.add_parser("revoke", help="take all keys of a client away, at once")
    revoke.add_argument("name", metavar="NAME|ID")
    for each in parser.leaves():
        each.add_argument("--workspace", "-w", default=".", metavar="WS", help="its folder (default: .)")
        each.add_argument("--env", metavar="NAME", help="apply the overlay envs/NAME")


def run(args: argparse.Namespace) -> int:
    # Deferred: `engine keys --help` opens nothing.
    from engine.cli.keys_place import Place
    from engine.keys.wanted import WantedFault
    from engine.state.keys import KeysFault

    action = {"new": _new, "list": _list, "revoke": _revoke, "rotate": _rotate}[args.action]
    try:
        return asyncio.run(action(args, Place(args.workspace, args.env)))
    except WantedFault as fault:
        raise CommandFailed(str(fault), help=fault.help) from None
    except KeysFault as fault:
        raise CommandFailed(str(fault)) from None


async def _new(args: argparse.Namespace, place: Place) -> int:
    from engine.keys import form, wanted
    from engine.state.keys import Said, StoredKey, new_id

    wanted.check_name(args.name)
    models = tuple(filter(None, args.models.split(","))) if args.models is not None else None
    said = Said(
        org=args.org,
        tags=wanted.read_tags(args.tag),
        groups=tuple(args.group),
        models=models,
        limits=tuple(args.limit),
        budgets=tuple(args.budget),
        ips=tuple(map(_range, args.ip)),
    )
    expires = _when(args.expires, place)
    declared = place.declared()
    if declared is None:
        return 1
    if args.print:
        declared = replace(declared, bound=())
    wanted.check(
        declared,
        org=said.org,
        tags=said.tags,
        groups=said.groups,
        budgets=said.budgets,
        limits=said.limits,
        models=said.models or (),
    )
    if args.name in place.in_git():
        raise CommandFailed(
            f"the client `{args.name}` has a key in Git already", help="take another name, or change it there"
        )
    key = form.make()
    if args.print:
        _tell_new(args, key, place.digest(key), args.name, None, expires, said)
        return 0
    stored = StoredKey(place.digest(key), new_id(), args.name, said, _now(), expires)
    async with place.store(make=True) as store:
        await store.add(stored, place.proof())
    _tell_new(args, key, stored.digest, args.name, stored.id, expires, said)
    return 0


async def _rotate(args: argparse.Namespace, place: Place) -> int:
    from engine.keys import form
    from engine.state.keys import StoredKey

    overlap = _seconds(args.overlap)
    async with place.store(of=args.name) as store:
        every = await store.every()
        now = _now()
        found = [each for each in _of(args.name, every, place) if each.state(now) == "good"]
        if not found:
            raise CommandFailed(
                f"the client `{args.name}` has no good key", help="`engine keys new` makes one"
            )
        newest = max(found, key=lambda each: each.created)
        until = now + overlap
        old = [replace(each, expires=min(until, each.expires or until)) for each in found]
        key = form.make()
        expires = _when(args.expires, place) or newest.expires
        made = StoredKey(place.digest(key), newest.id, newest.name, newest.said, now, expires)
        await store.replace(old, made, place.proof())
    _tell_new(args, key, made.digest, made.name, made.id, expires, made.said)
    if args.format != "json":
        message(f"the old one stays good until {_shown_time(until)}")
    return 0


async def _revoke(args: argparse.Namespace, place: Place) -> int:
    async with place.store(of=args.name) as store:
        now = _now()
        found = [each for each in _of(args.name, await store.every(), place) if each.state(now) != "revoked"]
        if not found:
            raise CommandFailed(f"the client `{args.name}` has no key left to revoke")
        await store.revoke(found, now)
    if args.format == "json":
        write_json({"revoked": [{"name": each.name, "id": each.id} for each in found]})
    else:
        count = f"{len(found)} keys" if len(found) > 1 else "the key"
        write(f"revoked {count} of {found[0].name}; every sidecar of this state store knows within a second")
    return 0


async def _list(args: argparse.Namespace, place: Place) -> int:
    now = time.time()
    rows = [_row(each, each.state(now)) for each in await place.stored()]
    rows += [
        {"name": name, "id": name, "state": state, "kept": "git", "said": said, "expires": expires}
        for name, (state, said, expires) in place.git_clients(now).items()
    ]
    if args.format == "json":
        write_json({"keys": rows})
        return 0
    if not rows:
        message(f"nobody has a key: `engine keys new NAME{'' if place.has_store else ' --print'}` makes one")
    headers = ["NAME", "ID", "STATE", "KEPT", "UNTIL", "ORG", "TAGS", "MORE"]
    write(table([_cells(row) for row in rows], headers=headers))
    return 0


# --- what is told ---------------------------------------------------------------------------------------


def _tell_new(
    args: argparse.Namespace,
    key: str,
    digest: bytes,
    name: str,
    id: str | None,
    expires: int | None,
    said: Said,
) -> None:
    from engine.keys.hashing import shown

    told = said.as_json() | ({} if expires is None else {"expires": _shown_time(expires)})
    if args.format == "json":
        entry: dict[str, Any] = {"name": name, "id": id, "key": key, "hash": shown(digest), **told}
        write_json({**entry, "kept": id is not None})
    elif id is not None:
        write(key)
        message(f"the key of {name} ({id}); it is shown this once, what is kept is its hash")
    else:
        write(_yaml(name, {"hash": shown(digest), **told}))
        message(f"the key of {name}, shown this once; nothing was kept, the YAML goes to Git:\n{key}")


def _yaml(name: str, said: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(
        {"keys": {"clients": {name: said}}}, sort_keys=False, default_flow_style=None, width=1000
    )
    return text.rstrip("\n")


def _row(key: StoredKey, state: str) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "state": state,
        "kept": "store",
        "said": key.said.as_json(),
        "created": _shown_time(key.created),
        "expires": None if key.expires is None else _shown_time(key.expires),
        "revoked": None if key.revoked is None else _shown_time(key.revoked),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    said: dict[str, Any] = row["said"]
    tags = " ".join(f"{name}={value}" for name, value in said.get("tags", {}).items())
    more = " ".join(
        f"{name}: {', '.join(said[name])}"
        for name in ("groups", "models", "limits", "budgets", "ips")
        if said.get(name)
    )
    ends = row.get("revoked") or row["expires"] or ""
    return [row["name"], row["id"], row["state"], row["kept"], ends, said.get("org", ""), tags, more]


def _shown_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what is read ---------------------------------------------------------------------------------------


def _of(name: str, every: list[StoredKey], place: Place) -> list[StoredKey]:
    """The keys of the client of this name or id."""
    found = [each for each in every if name in (each.id, each.name)]
    if found:
        return found
    place.refuse_git(name)
    from engine.cli.arguments import did_you_mean

    names = {each.name for each in every}
    raise CommandFailed(f"there is no client {name!r}{did_you_mean(name, names)}", help="`engine keys list`")


def _now() -> int:
    return int(time.time())


def _seconds(text: str) -> int:
    from engine.units import UnitError, duration

    try:
        return duration(text) // 1000
    except UnitError as error:
        raise CommandFailed(f"--overlap {text}: {error.message}", help=error.help) from None


def _when(text: str | None, place: Place) -> int | None:
    """`90d` from now, or a date, as epoch seconds."""
    if text is None:
        return None
    from engine.units import UnitError, duration

    now = _now()
    try:
        if text[-1:].isalpha() and text[-1:] != "Z":
            at = now + duration(text) // 1000
        else:
            when = datetime.fromisoformat(text)
            at = int((when if when.tzinfo else when.replace(tzinfo=place.zone)).timestamp())
    except (UnitError, ValueError):
        raise CommandFailed(f"--expires {text}: that is no time", help="write 90d, or 2027-01-31") from None
    if at <= now:
        raise CommandFailed(f"--expires {text}: that is over already")
    return at


def _range(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise CommandFailed(f"--ip {text}: that is no address or range", help="write 10.1.0.0/16") from None
