"""Names bound: every reference exists, nothing has two meanings, and no node leads back to itself.

Deployments and nodes share one namespace, because `use` names either. Routes are not part of it: what
clients ask for is not a place that serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.compiler.document import Document, Path
from engine.compiler.extends import Files
from engine.compiler.graph_size import check_graph_size
from engine.compiler.mentions import Reference, mentions
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics, Related
from engine.spec.keys import Keys
from engine.spec.workspace import Workspace

#: Section -> what one of it is called.
NOUNS: Final = {
    "deployments": "deployment",
    "nodes": "node",
    "routes": "route",
    "credentials": "credential",
    "budgets": "budget",
    "limits": "limit",
    "guards": "guard",
    "groups": "group",
    "alerts": "alert",
}
#: More names than this do not help anybody find the right one.
_LISTED: Final = 12


def resolve(spec: Workspace, document: Document, providers: Files, out: Diagnostics) -> None:
    """Report every name that means nothing, or two things."""
    names = {section: getattr(spec, section) for section in NOUNS}
    for mention in mentions(spec):
        if isinstance(mention, Reference):
            _reference(mention, names, document, out)
    _one_namespace(spec, document, out)
    _cycles(spec, document, out)
    if not out.failed:
        check_graph_size(spec, document, out)
    _providers(spec, document, providers, out)
    _models_of_groups(spec, document, out)
    if spec.keys is not None:
        _clients(spec.keys, document, out)


def _reference(
    found: Reference, names: dict[str, dict[str, Any]], document: Document, out: Diagnostics
) -> None:
    if any(found.name in names[section] for section in found.sections):
        return
    what = " or ".join(NOUNS[section] for section in sorted(found.sections))
    known = [name for section in found.sections for name in names[section]]
    elsewhere = [section for section in NOUNS if found.name in names[section]]
    if "routes" in elsewhere and "deployments" in found.sections:
        advice = f"`{found.name}` is a route, and a route is no node: name what its `start` names"
    elif elsewhere:
        advice = f"`{found.name}` is a {NOUNS[elsewhere[0]]} and no {what}; " + there_is(found.name, known)
    else:
        advice = there_is(found.name, known)
    out.add("E210", f"there is no {what} `{found.name}`", document.span(found.path), help=advice)


def there_is(name: str, known: Iterable[str]) -> str:
    """`did you mean ...? there is: ...`."""
    listed = sorted(set(known))
    if not listed:
        return "nothing of the kind is defined"
    guess = did_you_mean(name, listed)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    there = "there is: " + ", ".join(listed[:_LISTED]) + more
    return f"did you mean `{guess}`? {there}" if guess else there


def _one_namespace(spec: Workspace, document: Document, out: Diagnostics) -> None:
    for name in sorted(spec.deployments.keys() & spec.nodes.keys()):
        out.add(
            "E211",
            f"`{name}` is the name of a deployment and of a node",
            document.key_span(("nodes", name)),
            help="`use` names either, so they share one namespace: rename one of them",
            related=[Related("the deployment", document.key_span(("deployments", name)))],
        )


# --- cycles -------------------------------------------------------------------------------------------


def _cycles(spec: Workspace, document: Document, out: Diagnostics) -> None:
    """Report each cycle of named nodes once, from its first name in alphabetical order."""
    edges = {name: _uses(spec, name) for name in sorted(spec.nodes)}
    for loop in _loops(edges):
        _report_cycle(loop, edges, document, out)


def _loops(edges: dict[str, dict[str, Path]]) -> Iterator[list[str]]:
    """The cycles that a walk from every name runs into. No recursion: a chain may be long."""
    done: set[str] = set()
    for start in edges:
        trail: dict[str, Iterator[str]] = {}  # the way to where the walk is, in order
        entering = None if start in done else start
        while entering is not None or trail:
            if entering is not None:
                trail[entering], entering = iter(edges[entering]), None
            name = next(reversed(trail))
            child = next(trail[name], None)
            if child is None:
                del trail[name]
                done.add(name)
            elif child in trail:
                way = list(trail)
                yield way[way.index(child) :]
            elif child not in done:
                entering = child


def _uses(spec: Workspace, name: str) -> dict[str, Path]:
    """The named nodes that a named node mentions, each with the place of the first mention."""
    found: dict[str, Path] = {}
    for mention in mentions(spec.nodes[name], ("nodes", name)):
        if isinstance(mention, Reference) and "nodes" in mention.sections and mention.name in spec.nodes:
            found.setdefault(mention.name, mention.path)
    return dict(sorted(found.items()))


def _report_cycle(
    loop: list[str], edges: dict[str, dict[str, Path]], document: Document, out: Diagnostics
) -> None:
    first = loop.index(min(loop))
    loop = loop[first:] + loop[:first]
    hops = list(zip(loop, [*loop[1:], loop[0]], strict=True))
    places = [document.span(edges[a][b]) for a, b in hops]
    out.add(
        "E212",
        "nodes lead back to themselves: " + " -> ".join([*loop, loop[0]]),
        places[0],
        help="a route graph has no loops: remove one of these uses, or use a deployment",
        related=[
            Related(f"`{a}` uses `{b}`", place) for (a, b), place in zip(hops[1:], places[1:], strict=True)
        ],
    )


# --- providers, keys, groups --------------------------------------------------------------------------


def _providers(spec: Workspace, document: Document, providers: Files, out: Diagnostics) -> None:
    known = providers.names()
    named = [(("deployments", name, "provider"), d.provider) for name, d in sorted(spec.deployments.items())]
    named += [(("credentials", name, "provider"), c.provider) for name, c in sorted(spec.credentials.items())]
    for path, provider in named:
        if providers.canonical(provider) is None:
            out.add(
                "E213",
                f"there is no provider `{provider}`",
                document.span(path),
                help=there_is(provider, known) + "; your own go to providers.d/NAME.yaml",
            )
    for place in sorted(spec.residency or {}):
        provider = place.partition(".")[0]
        if providers.canonical(provider) is None:
            where = document.key_span(("residency", place))
            out.add("E213", f"there is no provider `{provider}`", where, help=there_is(provider, known))
    for name, deployment in sorted(spec.deployments.items()):
        for index, credential in enumerate(deployment.credentials or ()):
            found = spec.credentials.get(credential)
            if found is None or providers.canonical(found.provider) == providers.canonical(
                deployment.provider
            ):
                continue
            out.add(
                "E214",
                f"the credential `{credential}` is for {found.provider}, not for {deployment.provider}",
                document.span(("deployments", name, "credentials", index)),
                help=f"name one of {deployment.provider}'s credentials",
                related=[Related("the credential", document.key_span(("credentials", credential)))],
            )


def _models_of_groups(spec: Workspace, document: Document, out: Diagnostics) -> None:
    """`models` of groups, policies and client keys name models that some route takes."""
    taken = {model for name, route in spec.routes.items() for model in _taken(name, route)}
    clients = spec.keys.clients if spec.keys is not None else None
    holders: list[tuple[Path, Any]] = [(("groups", name), each) for name, each in spec.groups.items()]
    holders += [(("require", name), each) for name, each in spec.require.items()]
    holders += [(("keys", "clients", name), each) for name, each in (clients or {}).items()]
    for path, holder in sorted(holders, key=lambda item: item[0]):
        for index, model in enumerate(holder.models or ()):
            if not _takes(model, taken):
                out.add(
                    "E215",
                    f"no route takes a model `{model}`",
                    document.span((*path, "models", index)),
                    help=there_is(model, taken),
                )


def _taken(name: str, route: Any) -> tuple[str, ...]:
    models: tuple[str, ...] = (route.match.models if route.match is not None else None) or (name,)
    return models


def _takes(model: str, taken: set[str]) -> bool:
    if model in taken:
        return True
    if model.endswith("*"):
        stem = model[:-1]
        return any(other.startswith(stem) or _covers(other, stem) for other in taken)
    return any(_covers(other, model) for other in taken)


def _covers(pattern: str, model: str) -> bool:
    return pattern.endswith("*") and model.startswith(pattern[:-1])


def check_carried(
    keys: Keys,
    path: Path,
    org: str | None,
    tags: Mapping[str, str] | None,
    document: Document,
    out: Diagnostics,
) -> None:
    """What somebody at `path` carries is declared: E216 for an organisation, a tag or a value that is not."""
    declared = keys.tags or {}
    if org is not None and keys.orgs is not None and org not in keys.orgs:
        place = document.span((*path, "org"))
        out.add("E216", f"`{org}` is no declared organisation", place, help=there_is(org, keys.orgs))
    for tag, value in sorted((tags or {}).items()):
        values = declared[tag].values if tag in declared else None
        if tag not in declared:
            place = document.key_span((*path, "tags", tag))
            out.add("E216", f"`{tag}` is no declared tag", place, help=there_is(tag, declared))
        elif values is not None and value not in values:
            place = document.span((*path, "tags", tag))
            out.add("E216", f"`{value}` is no value of the tag `{tag}`", place, help=there_is(value, values))


def _clients(keys: Keys, document: Document, out: Diagnostics) -> None:
    """Client keys in Git carry declared organisations and tags, and all required ones."""
    tags = keys.tags or {}
    for name, client in sorted((keys.clients or {}).items()):
        path: Path = ("keys", "clients", name)
        check_carried(keys, path, client.org, client.tags, document, out)
        for tag in sorted(
            tag for tag, spec in tags.items() if spec.required and tag not in (client.tags or {})
        ):
            out.add(
                "W246",
                f"the client key `{name}` lacks the tag `{tag}`, which every key must carry: it will get 403",
                document.key_span(path),
                help=f"add `tags: {{{tag}: ...}}`",
                related=[Related("required here", document.key_span(("keys", "tags", tag)))],
            )
