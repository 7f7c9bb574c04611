"""`--key`: as whom a request is asked, where a command asks one itself.

A name is that of a client whose key is in Git or in the state store; `org=acme`, `team=support`, `group=ci`
make somebody up. Both together change what the named client says.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import Parser, did_you_mean
from engine.cli.output import CommandFailed

if TYPE_CHECKING:
    from engine.plan.people import People
    from engine.plan.plan import Plan
    from engine.runtime.people import Person
    from engine.runtime.views import Key


def add_key(parser: Parser) -> None:
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="NAME|WHAT=VALUE",
        help="ask as this client, or as one with org=O, group=G or a tag; again for more (default: nobody)",
    )


def asker(words: list[str], plan: Plan, workspace: str) -> Key:
    """The client key that `--key` says. Raises CommandFailed."""
    # Deferred: most requests that commands ask are nobody's.
    from engine.runtime.views import ANONYMOUS, Texts

    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise CommandFailed(f"--key names two clients: {names[0]} and {names[1]}")
    people = plan.people()
    found = _named(names[0], plan, workspace) if names else ANONYMOUS
    tags, groups, org = dict(found.tags), list(found.groups), found.org
    for word in words:
        what, equals, value = word.partition("=")
        if not equals:
            continue
        if what == "org":
            if people.orgs is not None and value not in people.orgs:
                raise CommandFailed(f"--key {word}: no such organisation{did_you_mean(value, people.orgs)}")
            org = value
        elif what == "group":
            known = [group.name for group in people.groups]
            if value not in known:
                raise CommandFailed(f"--key {word}: no such group{did_you_mean(value, known)}")
            groups.append(value)
        else:
            _check_tag(what, value, people)
            tags[what] = value
    if not words:
        return found
    name = found.name or "made-up"
    return replace(found, id=found.id or name, name=name, org=org, tags=Texts(tags), groups=tuple(groups))


def told(person: Person) -> str | None:
    """Who asks, for people; None: nobody in particular."""
    key = person.key
    if not key.id:
        return None
    said = [f"org {key.org}"] if key.org else []
    said += [f"{name}={value}" for name, value in key.tags.items()]
    parts = [f"Asked with the client key {key.name}" + (f" ({', '.join(said)})" if said else "")]
    parts += [f"groups: {', '.join(person.groups)}"] if person.groups else []
    return "; ".join(parts) + "."


def _check_tag(name: str, value: str, people: People) -> None:
    if name not in people.tags:
        known = ["org", "group", *people.tags]
        raise CommandFailed(f"--key {name}={value}: no such tag{did_you_mean(name, known)}")
    values = people.tags[name].values
    if values is not None and value not in values:
        raise CommandFailed(f"--key {name}={value}: no such value{did_you_mean(value, values)}")


def _named(name: str, plan: Plan, workspace: str) -> Key:
    """The key of a client, from Git or from the state store."""
    from engine.compiler.settings_alone import settings_alone
    from engine.diagnostics import Diagnostics
    from engine.runtime.keyring import in_git, of_store
    from engine.state.keys import StoredKey
    from engine.state.open_keys import open_keys

    root = Path(workspace)
    keys = {entry.key.name: entry.key for entry in in_git(plan.people().clients)}

    async def stored() -> list[StoredKey]:
        store = await open_keys(settings_alone(root, Diagnostics())[0].state, root)
        if store is None:
            return []
        try:
            return await store.every()
        finally:
            await store.close()

    if name not in keys:
        try:
            keys |= {each.name: of_store(each).key for each in asyncio.run(stored())}
        except OSError as error:
            raise CommandFailed(str(error)) from None
    if name not in keys:
        raise CommandFailed(
            f"--key {name}: no such client{did_you_mean(name, keys)}", help="`engine keys list`"
        )
    return keys[name]
