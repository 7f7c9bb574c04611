"""`speaks` of a provider file to the plan's: further formats, when they are used, and what differs there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal

from engine.compiler.document import Document, Path
from engine.compiler.expr import compile_expression, compile_template, reads
from engine.compiler.expr.place import Place
from engine.compiler.lower_adjust import adjust_rules
from engine.compiler.lower_dialect import error_rules
from engine.compiler.resolve import there_is
from engine.diagnostics import Diagnostics
from engine.plan.values import Template
from engine.plan.vendors import Auth, Provider, Spoken
from engine.spec.auth import AuthSpec
from engine.spec.provider import ProviderSpec, SpeaksSpec

Escape = Literal["text", "path", "header"]
LowerAuth = Callable[[AuthSpec, Path], Auth]


def lower_speaks(
    spec: ProviderSpec, document: Document, dialects: Collection[str], auth: LowerAuth, out: Diagnostics
) -> tuple[Spoken, ...]:
    """The plan's entries; what is wrong with them is told. `dialects`: the names that exist."""
    seen: set[str] = set()
    found = []
    for number, entry in enumerate(spec.speaks or ()):
        path: Path = ("speaks", number)
        _check(spec, entry, document, path, dialects, seen, out)
        if entry.when is None:
            seen.add(entry.dialect)
        found.append(_lower(entry, document, path, auth, out))
    return tuple(found)


def templates(
    data: Mapping[Any, Any] | None, document: Document, path: Path, escape: Escape, out: Diagnostics
) -> dict[str, Template]:
    """Templates of a provider file that see `target` and `provider`."""
    made = {
        name: compile_template(
            value, document=document, path=(*path, name), scope="call", escape=escape, out=out
        )
        for name, value in (data or {}).items()
    }
    return {name: template for name, template in made.items() if template is not None}


def headers(
    data: Mapping[str, Any] | None, document: Document, path: Path, out: Diagnostics
) -> dict[str, Template]:
    """Headers, their names in lower case."""
    return {name.lower(): each for name, each in templates(data, document, path, "header", out).items()}


def _lower(entry: SpeaksSpec, document: Document, path: Path, auth: LowerAuth, out: Diagnostics) -> Spoken:
    when = None
    if entry.when is not None:
        place = Place(document, (*path, "when"))
        when = compile_expression(entry.when, place=place, scope="request_write", want="bool", out=out)
    rules = None
    if entry.adjust is not None:
        rules = adjust_rules(entry.adjust, document, (*path, "adjust"), out)
    return Spoken(
        dialect=entry.dialect,
        when=when,
        base_url=entry.base_url,
        root=entry.root,
        paths=templates(entry.paths, document, (*path, "paths"), "path", out),
        headers=headers(entry.headers, document, (*path, "headers"), out),
        auth=None if entry.auth is None else auth(entry.auth, (*path, "auth")),
        rename=dict(entry.rename or {}),
        drop=entry.drop or (),
        takes=entry.takes or (),
        params=dict(entry.params or {}),
        adjust=rules,
        errors=error_rules(entry.errors),
    )


def _check(
    spec: ProviderSpec,
    entry: SpeaksSpec,
    document: Document,
    path: Path,
    dialects: Collection[str],
    seen: set[str],
    out: Diagnostics,
) -> None:
    at = document.span((*path, "dialect"))
    if entry.dialect not in dialects:
        out.add("E401", f"there is no dialect `{entry.dialect}`", at, help=there_is(entry.dialect, dialects))
    elif entry.when is None and entry.dialect == spec.dialect:
        message = f"`{entry.dialect}` is the provider's own dialect already"
        out.add("E422", message, at, help="remove the entry, or say `when` it must be used")
    elif entry.when is None and entry.dialect in seen:
        message = f"`{entry.dialect}` is listed twice without a condition"
        out.add("E422", message, at, help="keep one; another one needs `when`")
    if spec.dialect == "none":
        message = "a provider whose models run inside the engine speaks no format"
        out.add("E422", message, document.key_span(("speaks",)), help="remove `speaks`")
    if entry.root is not None and entry.base_url is not None:
        message = "`root` and `base_url` both say where the format is spoken"
        out.add("E422", message, document.key_span((*path, "root")), help="keep one")


def check_settings_read(spec: ProviderSpec, provider: Provider, document: Document, out: Diagnostics) -> None:
    """The file's own templates read no setting that it does not declare."""
    declared = spec.settings or {}
    for path, template in _templates(provider):
        for field in sorted(reads(template, "target")):
            owner, _, name = field.partition(".")
            if owner == "settings" and name and name not in declared:
                out.add(
                    "E414",
                    f"`settings.{name}` is not declared",
                    document.span(path),
                    help=there_is(name, declared) if declared else f"declare it: settings: {{{name}: ...}}",
                )


def _templates(provider: Provider) -> Iterator[tuple[Path, Template]]:
    places: list[tuple[Path, Provider | Spoken]] = [((), provider)]
    places += [(("speaks", number), entry) for number, entry in enumerate(provider.speaks)]
    for path, owner in places:
        for key, found in (("headers", owner.headers), ("paths", owner.paths)):
            for name, template in found.items():
                yield (*path, key, name), template
