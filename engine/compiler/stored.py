"""Provider and dialect files that were compiled before, taken from the cache instead of compiled again.

Kept is a file about which there was nothing to say, so that no diagnostic is lost. Of a dialect the plan's
`Dialect` is kept, with the digests of what it extends: it is taken only where these files are still the same.
Of a provider that stands on its own (no `extends`) its plain data is kept too, which the
models and settings of deployments are looked up in. What is taken equals what a compile makes, down to the
order of keys that messages list names in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.compiler.cache import Cache, identity
from engine.compiler.load import Source
from engine.plan.codec import PlanDecodeError, in_order, restore
from engine.plan.vendors import Dialect, Provider

V = TypeVar("V", Dialect, Provider)

#: Counts up when an entry gets another shape.
_SHAPE: Final = 1

#: Entries of dialects that this process has read: one that compiles again and again (the sidecar's child)
#: reads each once. Under `_MADE` is the dialect itself. Found by what they were made of, like the files.
_dialects: dict[tuple[Path, str], dict[str, Any]] = {}
_MOST: Final = 128
_MADE: Final = " made"


@dataclass(frozen=True, slots=True)
class StoredProvider:
    """A provider file: its data, and the plan's provider; None for a service that is no more."""

    data: dict[str, Any]
    provider: Provider | None


class Stored:
    """Entries of files by their source. `dialects`: the names that exist, which providers are checked with.

    `shadowing`: names of the workspace's own files that the engine ships too. `base` finds what
    `extends: NAME` means in a dialect file.
    """

    def __init__(
        self,
        cache: Cache | None,
        dialects: Collection[str],
        shadowing: Collection[str],
        base: Callable[[Source, str], Source | None],
    ) -> None:
        self.cache = cache
        self._base = base
        self._dialects = sorted(dialects)
        self._shadowing = shadowing
        self._read: dict[str, Any] = {}

    def has(self, source: Source) -> bool:
        """Whether the file can be taken from the cache."""
        return self._entry(source) is not None

    def data(self, source: Source) -> dict[str, Any] | None:
        """The plain data of a provider file; None where it must be read."""
        entry = self._entry(source)
        return entry["data"] if entry is not None else None

    def dialect(self, source: Source) -> Dialect | None:
        """The dialect of a file; None where it must be compiled."""
        entry = self._entry(source)
        if entry is None:
            return None
        if _MADE not in entry:
            entry[_MADE] = _restored(Dialect, entry["dialect"])
        made: Dialect | None = entry[_MADE]
        return made

    def provider(self, source: Source) -> StoredProvider | None:
        """The provider of a file; None where it must be compiled."""
        entry = self._entry(source)
        if entry is None or entry["provider"] is None:
            return None if entry is None else StoredProvider(entry["data"], None)
        provider = _restored(Provider, entry["provider"])
        return None if provider is None else StoredProvider(entry["data"], provider)

    def keep_dialect(self, chain: Sequence[Source], dialect: Dialect) -> None:
        """Keep a dialect that was compiled without a word. `chain`: its file, and what each extends."""
        bases = [[source.name, source.path, source.digest] for source in chain[1:]]
        self._keep(chain[0], {"bases": bases, "dialect": dialect})

    def keep_provider(self, source: Source, data: dict[str, Any], provider: Provider | None) -> None:
        """Keep a provider that was compiled without a word, or the file of one that is no more."""
        self._keep(source, {"data": data, "provider": provider})

    def _keep(self, source: Source, entry: Any) -> None:
        if self.cache is not None:
            self.cache.put(self._key(source), in_order(entry))

    def _entry(self, source: Source) -> Any:
        """The entry as plain JSON; None where there is none. Read once."""
        if self.cache is None:
            return None
        if source.path not in self._read:
            key = self._key(source)
            entry = _dialects.get((self.cache.folder, key))
            if entry is None:
                text = self.cache.get(key)
                entry = None if text is None else json.loads(text)
            if entry is not None and source.kind == "dialect" and len(_dialects) < _MOST:
                _dialects[self.cache.folder, key] = entry
            self._read[source.path] = entry if entry is None or self._stands(source, entry) else None
        return self._read[source.path]

    def _stands(self, source: Source, entry: Any) -> bool:
        """Whether what the file extends is as it was."""
        here: Source | None = source
        for name, path, digest in entry.get("bases", ()):
            here = None if here is None else self._base(here, name)
            if here is None or (here.path, here.digest) != (path, digest):
                return False
        return True

    def _key(self, source: Source) -> str:
        parts: list[Any] = [_SHAPE, identity(), source.kind, source.path, source.digest]
        parts += [source.name in self._shadowing, self._dialects if source.kind == "provider" else None]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _restored(cls: type[V], data: Any) -> V | None:
    try:
        return restore(cls, data)
    except PlanDecodeError:
        return None
