"""Provider and dialect files as the plan's types, each read and lowered when it is first asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.compiler.cache import Cache
from engine.compiler.document import Document
from engine.compiler.extends import Files
from engine.compiler.facts_table import table, table_names
from engine.compiler.load import Sources
from engine.compiler.lower_auth import default_credential
from engine.compiler.lower_dialect import lower_dialect
from engine.compiler.lower_provider import lower_provider
from engine.compiler.models import Models
from engine.compiler.resolve import there_is
from engine.compiler.shape import shape
from engine.compiler.stored import Stored
from engine.diagnostics import Diagnostics
from engine.plan.types import Credential
from engine.plan.vendors import Dialect, Provider
from engine.spec.dialect import DialectSpec
from engine.spec.price import tool_prices
from engine.spec.provider import ProviderSpec
from engine.spec.where import SettingSpec
from engine.wire.formats import faces


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider: as it runs, the credential its file names by default, and who vouches for it.

    `own`: the file, or a patch of it, lies in the workspace, so its word on residency is not the engine's.
    `default_region` of the plan's provider is empty where a deployment must name one.
    """

    provider: Provider
    credential: Credential | None
    own: bool
    models: Models
    settings: Mapping[str, SettingSpec]
    _document: Callable[[], Document | None] = field(repr=False, compare=False)

    @property
    def document(self) -> Document:
        """The merged file. It is parsed for this if the provider came from the cache."""
        document = self._document()
        assert document is not None  # there would be no vendor
        return document


class Vendors:
    """All providers and dialects that a workspace can name."""

    def __init__(
        self,
        sources: Sources,
        documents: Iterable[Document],
        out: Diagnostics,
        cache: Cache | None = None,
    ) -> None:
        found = list(documents)
        self.out = out
        self.providers = Files("provider", sources, found, out)
        self.dialects = Files("dialect", sources, found, out)
        shadowing = {*self.providers.shadowing(), *self.dialects.shadowing()}
        self.stored = Stored(cache, self.dialects.names(), shadowing, self.dialects.base)
        self.providers.stored = self.dialects.stored = self.stored
        self._vendors: dict[str, Vendor | None] = {}
        self._lowered: dict[str, Dialect | None] = {}

    def read_own(self) -> None:
        """Parse the workspace's own files that are not in the cache: their faults come first."""
        self.dialects.read_own()
        self.providers.read_own()

    def vendor(self, name: str) -> Vendor | None:
        """The provider of that name or alias; None if there is none, or its file has a fault (told once)."""
        file = self.providers.canonical(name)
        if file is None:
            return None
        if file not in self._vendors:
            self._vendors[file] = self._vendor(file)
        return self._vendors[file]

    def retired(self, name: str) -> str | None:
        """What the file of a service that is no more says; None for one that is there."""
        file = self.providers.canonical(name)
        said = None if file is None else self._data(file).get("retired")
        return said if isinstance(said, str) else None

    def dialect(self, name: str) -> Dialect | None:
        """The dialect of that name; None if there is none, or its file has a fault (told once)."""
        if name not in self._lowered:
            source = self.dialects.source(name)
            stored = None if source is None else self.stored.dialect(source)
            self._lowered[name] = stored or self._dialect(name)
        return self._lowered[name]

    def _dialect(self, name: str) -> Dialect | None:
        before = len(self.out)
        document = self.dialects.get(name)
        spec = shape(DialectSpec, document, self.out) if document is not None else None
        found = lower_dialect(spec, name, document, self.out) if spec and document else None
        if found and len(self.out) == before and (chain := self.dialects.quiet(name)):
            self.stored.keep_dialect(chain, found)
        return found

    def documents(self) -> tuple[Document, ...]:
        """The shipped files that were read: what messages about them quote."""
        return (*self.providers.shipped_documents(), *self.dialects.shipped_documents())

    def check_own(self) -> None:
        """Read the files that lie in the workspace, used or not: their faults are the user's to know."""
        for name in sorted(self.dialects.own):
            self.dialect(name)
        for name in sorted(self.providers.own):
            self.vendor(name)

    def _data(self, name: str) -> dict[str, Any]:
        """The merged file of a provider as plain data; empty for one that is broken."""
        source = self.providers.source(name)
        found = None if source is None else self.stored.data(source)
        if found is None:
            document = self.providers.get(name)
            found = document.data if document is not None and isinstance(document.data, dict) else {}
        return found

    def _vendor(self, name: str) -> Vendor | None:
        source = self.providers.source(name)
        stored = None if source is None else self.stored.provider(source)
        if stored is not None:
            spec, provider = ProviderSpec.model_validate(stored.data), stored.provider
        else:
            found = self._compiled(name)
            if found is None:
                return None
            spec, provider = found
        if provider is None:
            return None
        if spec.default_region is None and len(provider.regions) > 1 and "global" not in provider.regions:
            # The first one written would depend on the order of keys.
            provider = dataclasses.replace(provider, default_region="")
        vendor = Vendor(
            provider,
            default_credential(provider.auth, name),
            name in self.providers.own and self.providers.sources.shipped is not None,
            self._models(name, spec),
            dict(spec.settings or {}),
            lambda: self.providers.get(name),
        )
        if spec.operations is not None:
            self._check_operations(vendor)
        return vendor

    def _compiled(self, name: str) -> tuple[ProviderSpec, Provider | None] | None:
        """The file's spec and the plan's provider (none of a retired service); None after a fault."""
        before = len(self.out)
        document = self.providers.get(name)
        spec = shape(ProviderSpec, document, self.out) if document is not None else None
        if document is None or spec is None:
            return None
        provider = None
        if spec.retired is None:
            provider = lower_provider(spec, name, document, self.dialects.names(), self.out)
            if provider is None:
                return None
        chain = self.providers.quiet(name) if len(self.out) == before else []
        if len(chain) == 1:
            self.stored.keep_provider(chain[0], document.data, provider)
        return spec, provider

    def _check_operations(self, vendor: Vendor) -> None:
        """Each operation has a format that carries it."""
        provider = vendor.provider
        formats = [self.dialect(face.dialect) for face in faces(provider) if face.dialect is not None]
        carried = {op for dialect in formats if dialect is not None for op in dialect.operations}
        for number, op in enumerate(provider.operations):
            if op not in carried and all(dialect is not None for dialect in formats):
                spoken = ", ".join(sorted(dialect.name for dialect in formats if dialect is not None))
                self.out.add(
                    "E417",
                    f"no format spoken there carries `{op}` (spoken: {spoken or 'none'})",
                    vendor.document.span(("operations", number)),
                    help="remove it, or add a format that has it to `speaks`",
                )

    def _models(self, name: str, spec: ProviderSpec) -> Models:
        """What is known of its models. A table that comes from another vendor's file comes without prices."""
        vendors = self.providers.bases(name)
        of = spec.facts or next((each for each in vendors if table(each) is not None), None)
        found = table(of) if of is not None else None
        document = self.providers.get(name) if spec.facts is not None and found is None else None
        if document is not None:
            self.out.add(
                "E427",
                f"there is no table of facts `{spec.facts}`",
                document.span(("facts",)),
                help=there_is(spec.facts or "", table_names()),
            )
        return Models(
            spec.models or {},
            found,
            priced=of == name or self.providers.says(name, "facts"),
            free=spec.price is not None,
            unknown=spec.unknown_models,
            can=spec.can,
            profiles=spec.profiles,
            tools=tool_prices(spec.tools) if of == name or self.providers.says(name, "tools") else None,
        )
