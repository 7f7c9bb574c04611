"""Shipped and written dialect and provider files, compiled for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from engine.builtin import builtin, builtin_root
from engine.compiler.document import Document
from engine.compiler.extends import Family, Files
from engine.compiler.facts_table import table
from engine.compiler.load import Source, Sources
from engine.compiler.lower_dialect import lower_dialect
from engine.compiler.lower_provider import lower_provider
from engine.compiler.models import Models
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics
from engine.plan.vendors import Dialect, Provider
from engine.spec.dialect import DialectSpec
from engine.spec.provider import ProviderSpec
from engine.wire.dialect import BoundDialect

DIALECTS = sorted(p.stem for p in Path(builtin("providers.d") / "dialects").glob("*.yaml"))


def _parsed(text: str, name: str, kind: Any) -> tuple[Any, Diagnostics]:
    out = Diagnostics()
    source = Source(path=f"providers.d/{name}.yaml", text=text, kind=kind, digest="")
    document = parse(source, out)
    assert document is not None, list(map(str, out))
    return document, out


def make_dialect(text: str, name: str = "own") -> tuple[Dialect | None, Diagnostics]:
    document, out = _parsed(text, name, "dialect")
    return lower_dialect(DialectSpec.model_validate(document.data), name, document, out), out


def make_provider(text: str, name: str = "own") -> tuple[Provider | None, Diagnostics]:
    document, out = _parsed(text, name, "provider")
    spec = ProviderSpec.model_validate(document.data)
    return lower_provider(spec, name, document, DIALECTS, out), out


def make_models(text: str, name: str = "own", of: str | None = None) -> Models:
    """What is known of the models of a provider file, with the table of facts `of`."""
    document, _ = _parsed(text, name, "provider")
    spec = ProviderSpec.model_validate(document.data)
    found = table(of) if of is not None else None
    return Models(spec.models or {}, found, free=spec.price is not None, unknown=spec.unknown_models)


@cache
def shipped_file(family: Family, name: str) -> Document:
    """A shipped file, over what it extends."""
    out = Diagnostics()
    document = Files(family, Sources(Path(), None, (), builtin_root()), [], out).get(name)
    assert document is not None, "\n".join(map(str, out))
    return document


@cache
def shipped_dialect(name: str = "openai_chat") -> Dialect:
    document, out = shipped_file("dialect", name), Diagnostics()
    dialect = lower_dialect(DialectSpec.model_validate(document.data), name, document, out)
    assert dialect is not None, "\n".join(map(str, out))
    return dialect


@cache
def shipped_provider(name: str) -> Provider:
    provider, out = make_provider((builtin("providers.d") / f"{name}.yaml").read_text(), name)
    assert provider is not None, "\n".join(map(str, out))
    return provider


@cache
def shipped_models(name: str) -> Models:
    return make_models((builtin("providers.d") / f"{name}.yaml").read_text(), name, name)


def bound(name: str = "openai_chat") -> BoundDialect:
    return BoundDialect(shipped_dialect(name))


#: Provider files, but for those of services that are no more.
SHIPPED = sorted(
    path.stem
    for path in Path(builtin("providers.d")).glob("*.yaml")
    if "\nretired:" not in path.read_text(encoding="utf-8")
)


def shipped_names() -> list[str]:
    """The dialects that the engine ships."""
    return sorted(path.stem for path in Path(builtin("providers.d")).glob("dialects/*.yaml"))
