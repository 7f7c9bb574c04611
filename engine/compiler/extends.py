"""Provider and dialect files by name: what a workspace has, what the engine ships, and `extends`.

Files are read and merged when they are asked for: a workspace that uses one vendor does not pay for the
others. `extends: x` in a file takes over `x` and patches it by the rule of overlays (maps merge, lists and
scalars replace, `null` removes). A file named like a shipped one without `extends` would silently replace
it, so that needs `replace: true`. Extending another vendor's file takes over its wire, not its promises:
where it runs, what it costs and which residency it has hold for the hosts of that vendor only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from engine.compiler.document import Document, Path
from engine.compiler.load import Source, Sources
from engine.compiler.merged import MISSING, Merged, Tree, value_at
from engine.compiler.parse import parse
from engine.compiler.stored import Stored
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics, Related, Span

EXTENDS: Final = "extends"
REPLACE: Final = "replace"
MODELS: Final = "models"
#: What only the vendor itself can promise: dropped when a file of another name is extended.
_VENDOR_OWN: Final = (
    "regions",
    "region",
    "default_region",
    "base_url",
    "residency",
    "price",
    "compliance",
    "aliases",
    "title",
    "samples",
    "replace",
)
_MODEL_OWN: Final = (
    "price",
    "input_price",
    "output_price",
    "cached_price",
    "cache_write_price",
    "request_price",
)

Family = Literal["provider", "dialect"]


class Files:
    """The provider files, or the dialect files, that a workspace can name."""

    def __init__(
        self,
        family: Family,
        sources: Sources,
        documents: Iterable[Document],
        out: Diagnostics,
        stored: Stored | None = None,
    ) -> None:
        self.family: Family = family
        self.sources = sources
        self.out = out
        self.stored = stored
        found = [document for document in documents if document.source.kind == family]
        #: The files that lie in the workspace, by name.
        self.own = {source.name: source for source in (*sources.of(family), *(d.source for d in found))}
        self._read: dict[str, Document | None] = {document.source.path: document for document in found}
        self._merged: dict[str, Document | None] = {}
        self._faulty: set[str] = set()
        self._aliases: dict[str, str] | None = None

    def names(self) -> list[str]:
        """Every name that can be used, sorted."""
        return sorted({*self.own, *self._shipped_names()})

    def shipped_documents(self) -> list[Document]:
        """The files of the engine that were parsed so far."""
        return [found for found in self._read.values() if found is not None and found.source.builtin]

    def source(self, name: str) -> Source | None:
        """The file of that name, the workspace's before the engine's; None if there is none."""
        return self.own.get(name) or self._shipped_source(name)

    def shadowing(self) -> set[str]:
        """Names of own files that the engine ships too."""
        return {*self.own} & {*self._shipped_names()}

    def read_own(self) -> None:
        """Parse the files that lie in the workspace, but for those in the cache: their faults are told."""
        for source in self.own.values():
            if self.stored is None or not self.stored.has(source):
                self._document(source)

    def data(self, name: str) -> dict[str, Any]:
        """The file's plain data, from the cache where it has it; empty for one that is broken."""
        source = self.source(name)
        if source is None:
            return {}
        found = self.stored.data(source) if self.stored is not None else None
        if found is None:
            document = self._document(source)
            found = document.data if document is not None and isinstance(document.data, dict) else {}
        return found

    def quiet(self, name: str) -> list[Source]:
        """The file and those that it extends, itself first; none where reading them gave something to say."""
        chain = [document.source for document in reversed(self._chain(name) or [])]
        return [] if self._faulty & {name, *(source.path for source in chain)} else chain

    def base(self, source: Source, wanted: str) -> Source | None:
        """What `extends: wanted` in a file means: the shipped file for its own name, else any."""
        shipped = source.builtin or wanted == source.name
        return self._shipped_source(wanted) if shipped else self.source(wanted)

    def canonical(self, name: str) -> str | None:
        """The file's name for a name or an alias; None if nothing is called so."""
        if name in self.own or name in self._shipped_names():
            return name
        # Only a name that is no file's pays for looking at all of them.
        if self._aliases is None:
            self._aliases = {alias: file for file in self.names() for alias in self._aliases_of(file)}
        return self._aliases.get(name)

    def _aliases_of(self, name: str) -> list[str]:
        found = self.data(name).get("aliases")
        return [alias for alias in found if isinstance(alias, str)] if isinstance(found, list) else []

    def get(self, name: str) -> Document | None:
        """The merged file; None if there is none of that name, or it is broken (a diagnostic says so)."""
        if name not in self._merged:
            before = len(self.out)
            self._merged[name] = self._merge(name)
            if len(self.out) > before:
                self._faulty.add(name)
        return self._merged[name]

    def bases(self, name: str) -> list[str]:
        """The names of the file and of those that it extends, itself first."""
        if self._has(name):
            return [name]
        chain = self._chain(name) or []
        return list(dict.fromkeys(document.source.name for document in reversed(chain)))

    def says(self, name: str, key: str) -> bool:
        """True where files of that very name say `key`, not only those of others that they extend."""
        if self._has(name):
            return key in self.data(name)
        chain = self._chain(name) or []
        return any(key in document.data for document in chain if document.source.name == name)

    def _shipped_names(self) -> tuple[str, ...]:
        if self.family == "provider":
            return self.sources.builtin_provider_names()
        return self.sources.builtin_dialect_names()

    def _has(self, name: str) -> bool:
        """Whether the cache has the file: it then extends nothing."""
        source = self.source(name)
        return source is not None and self.stored is not None and self.stored.has(source)

    def _shipped_source(self, name: str) -> Source | None:
        if self.family == "provider":
            return self.sources.builtin_provider(name)
        return self.sources.builtin_dialect(name)

    def _shipped_document(self, name: str) -> Document | None:
        source = self._shipped_source(name)
        return None if source is None else self._document(source)

    def _document(self, source: Source) -> Document | None:
        """The file, parsed once; None, with a diagnostic, where it cannot be."""
        if source.path not in self._read:
            before = len(self.out)
            self._read[source.path] = parse(source, self.out)
            if len(self.out) > before:
                self._faulty.add(source.path)
        return self._read[source.path]

    def _merge(self, name: str) -> Document | None:
        chain = self._chain(name)
        if chain is None:
            return None
        if len(chain) == 1:
            return _without_marks(chain[0])
        tree = Tree(chain[-1].source)
        for document in chain:
            tree.add_part(document)
        base = chain[0]
        tree.graft((), base, ())
        for document in chain[1:]:
            if document.source.name != base.source.name:
                _drop_promises(tree)
            _patch(tree, document, (), self.out, facts=self.family == "provider")
            base = document
        return _without_marks(tree.document())

    def _chain(self, name: str) -> list[Document] | None:
        """The file and what it extends, the innermost first."""
        chain: list[Document] = []
        document = self._first(name)
        while document is not None:
            if not isinstance(document.data, dict):
                return None
            if any(document.source.path == seen.source.path for seen in chain):
                self._cycle([*chain, document])
                return None
            chain.append(document)
            wanted = document.data.get(EXTENDS)
            if wanted is None:
                return chain[::-1]
            if not isinstance(wanted, str):
                self.out.add(
                    "E207",
                    f"`extends` names one {self.family}",
                    document.span((EXTENDS,)),
                    help=f"write `extends: NAME`; there is: {', '.join(self.names())}",
                )
                return None
            document = self._base(document, wanted)
        return None

    def _first(self, name: str) -> Document | None:
        source = self.own.get(name)
        if source is None:
            return self._shipped_document(name)
        own = self._document(source)
        if own is None:
            return None
        said = not isinstance(own.data, dict) or EXTENDS in own.data or own.data.get(REPLACE) is True
        if said or name not in self._shipped_names():
            return own
        self.out.add(
            "E206",
            f"the engine ships a {self.family} `{name}` already",
            Span(own.source.path, 1, 1, 1, 1),
            help=f"`extends: {name}` patches it, `replace: true` replaces it; or rename the file",
        )
        return None

    def _base(self, document: Document, wanted: str) -> Document | None:
        """What `extends: wanted` in `document` means: the shipped file for its own name, else any."""
        shipped = document.source.builtin or wanted == document.source.name
        found = self._shipped_document(wanted) if shipped else self._first(wanted)
        if found is None and wanted not in self.own:
            guess = did_you_mean(wanted, self.names())
            self.out.add(
                "E207",
                f"`extends: {wanted}`: there is no {self.family} of that name to extend",
                document.span((EXTENDS,)),
                help=(f"did you mean `{guess}`? " if guess else "") + "there is: " + ", ".join(self.names()),
            )
        elif found is None and wanted == document.source.name:
            self.out.add(
                "E207",
                f"`extends: {wanted}` extends itself: the engine ships no {self.family} of that name",
                document.span((EXTENDS,)),
                help="remove the line",
            )
        return found

    def _cycle(self, chain: list[Document]) -> None:
        last = chain[-1]
        start = next(i for i, d in enumerate(chain) if d.source.path == last.source.path)
        names = chain[start:-1]
        first = names.index(min(names, key=lambda d: d.source.path))  # so that each loop is told once
        loop = [*names[first:], *names[:first], names[first]]
        self.out.add(
            "E207",
            "these files extend one another: " + " -> ".join(d.source.name for d in loop),
            loop[0].span((EXTENDS,)),
            help="let one of them stand on its own",
            related=[Related("and this", d.span((EXTENDS,))) for d in loop[1:-1]],
        )


def _patch(tree: Tree, document: Document, path: Path, out: Diagnostics, *, facts: bool) -> None:
    value = value_at(document.data, path)
    here = tree.get(path)
    if isinstance(value, dict) and isinstance(here, dict) and not _replaces(path):
        for key in value:
            _patch(tree, document, (*path, key), out, facts=facts)
    elif value is None and facts and path[:1] == (MODELS,) and len(path) in (2, 3):
        tree.prune(path)
        tree.graft(path, document, path)  # stays: what it takes away may stand in the table of facts
    elif value is None:
        if here is MISSING:
            out.add(
                "W204",
                f"`{path[-1]}: null` removes nothing: there is no such value",
                document.key_span(path),
                help="remove the line",
            )
        tree.prune(path)
    else:
        tree.graft(path, document, path)


def _replaces(path: Path) -> bool:
    """Templates are one value each: a patched half of one would rarely be a template."""
    return any(isinstance(key, str) and key.startswith("$") for key in path)


def _drop_promises(tree: Tree) -> None:
    for key in _VENDOR_OWN:
        tree.prune((key,))
    models: Any = tree.get(("models",))
    for name in list(models) if isinstance(models, dict) else []:
        for key in _MODEL_OWN:
            tree.prune(("models", name, key))


def _without_marks(document: Document) -> Document:
    """The document without `extends` and `replace`, which are told here and mean nothing later."""
    if not isinstance(document.data, dict) or not (document.data.keys() & {EXTENDS, REPLACE}):
        return document
    data = {key: value for key, value in document.data.items() if key not in (EXTENDS, REPLACE)}
    parts = document.parts if isinstance(document, Merged) else {document.source.path: document}
    return Merged(document.source, data, document.spans, document.key_spans, document._quoted, parts=parts)
