"""Overlays of an environment: `envs/NAME/*.yaml` patch the merged workspace.

One rule: maps merge, lists and scalars replace, `null` removes. A patch may only touch names that exist, so
that a typo is an error and not a second deployment; `$add: true` in a map allows new names in it and below.
What policies/ define is out of reach. Two files of one environment may not set the same value: the order of
files means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.compiler.document import Document, Path
from engine.compiler.merged import MISSING, Tree, dotted, value_at
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics, Related, Span

ADD: Final = "$add"

IsContainer = Callable[[Path, Any], bool]


def apply_overlays(
    tree: Tree,
    documents: Iterable[Document],
    protected: frozenset[Path],
    is_container: IsContainer,
    out: Diagnostics,
) -> None:
    """Patch `tree` with every document. `protected` are the definitions of policies/."""
    touched = _Touched()
    for document in documents:
        tree.add_part(document)
        _Patch(tree, document, protected, is_container, touched, out).merge((), False)


@dataclass(slots=True)
class _Touched:
    """Which values the overlays have set so far, and which maps they have set something in."""

    leaves: dict[Path, Span] = field(default_factory=dict)
    inner: dict[Path, Span] = field(default_factory=dict)


def _adds(value: Any) -> bool:
    return isinstance(value, dict) and value.get(ADD) is True


class _Patch:
    """One overlay file on its way into the tree."""

    def __init__(
        self,
        tree: Tree,
        document: Document,
        protected: frozenset[Path],
        is_container: IsContainer,
        touched: _Touched,
        out: Diagnostics,
    ) -> None:
        self.tree = tree
        self.document = document
        self.protected = protected
        self.is_container = is_container
        self.touched = touched
        self.out = out

    def merge(self, path: Path, adding: bool) -> None:
        value = value_at(self.document.data, path)
        here = self.tree.get(path)
        if path in self.protected:
            self._refuse_protected(path)
        elif not isinstance(value, dict):
            self._leaf(path, value, here)
        elif here is MISSING and path and not self.is_container(path, {}):
            self._new(path, value)
        else:
            self._map(path, value, here, adding)

    def _map(self, path: Path, value: dict[str, Any], here: Any, adding: bool) -> None:
        own = self._adding(path, value)
        self._open(path, here)
        before = {key for key in value if self.tree.get((*path, key)) is not MISSING}
        free = adding or own or not self._names(path)
        for key, item in value.items():
            if key == ADD:
                continue
            if free or key in before or _adds(item):
                self.merge((*path, key), adding or own)
            else:
                self._unknown((*path, key))
        if own and (before == value.keys() - {ADD} or not self.is_container(path, {})):
            self.out.add(
                "W205",
                "`$add: true` has no effect: everything here exists already",
                self.document.key_span((*path, ADD)),
                help="remove it",
            )

    def _names(self, path: Path) -> bool:
        """True for a map whose keys are names that somebody defines: a new one there may be a typo."""
        return bool(path) and path[0] != "defaults" and self.is_container(path, {})

    def _open(self, path: Path, here: Any) -> None:
        """Make sure that a map is at `path`: a bare name becomes the long form of a route or node."""
        if isinstance(here, dict):
            return
        span = self.document.span(path)
        if isinstance(here, str) and len(path) == 2 and path[0] in ("routes", "nodes"):
            key, old = ("start" if path[0] == "routes" else "use"), self.tree.spans[path]
            key_span = self.tree.key_spans[path]
            self.tree.put(path, {}, old)
            self.tree.put((*path, key), here, old)
            self.tree.key_spans[path] = key_span
            return
        self.tree.put(path, {}, span)
        if path in self.document.key_spans:
            self.tree.key_spans[path] = self.document.key_spans[path]

    def _leaf(self, path: Path, value: Any, here: Any) -> None:
        if not path or (len(path) == 1 and value is None):
            return
        if value is None:
            if here is MISSING:
                self.out.add(
                    "W204",
                    f"`{dotted(path)}: null` removes nothing: there is no such value",
                    self.document.key_span(path),
                    help="remove the line",
                )
            elif self._claim(path):
                if any(item[: len(path)] == path for item in self.protected):
                    self._refuse_protected(path)
                else:
                    self.tree.prune(path)
        elif self._claim(path):
            self.tree.graft(path, self.document, path)

    def _new(self, path: Path, value: dict[str, Any]) -> None:
        """A map where there is nothing: it comes as a whole, without its own `$add` and nulls."""
        self._open(path, MISSING)
        for key in value:
            if key != ADD:
                self.merge((*path, key), True)

    def _adding(self, path: Path, value: dict[str, Any]) -> bool:
        if ADD not in value:
            return False
        if value[ADD] is not True:
            self.out.add(
                "E203",
                "`$add` is `true` or is left out",
                self.document.span((*path, ADD)),
                help="write `$add: true` to allow names that do not exist yet",
            )
        return True

    def _claim(self, path: Path) -> bool:
        """True if no other overlay file has set this value, or one inside or around it."""
        place = self.document.key_span(path)
        around = [self.touched.leaves.get(path[:end]) for end in range(1, len(path) + 1)]
        for first in (*around, self.touched.inner.get(path)):
            if first is not None and first.file != place.file:
                self._twice(path, place, first)
                return False
        self.touched.leaves[path] = place
        for end in range(1, len(path)):
            self.touched.inner.setdefault(path[:end], place)
        return True

    def _twice(self, path: Path, second: Span, first: Span) -> None:
        self.out.add(
            "E205",
            f"two overlay files set `{dotted(path)}`",
            second,
            help="the order of files means nothing: keep one of them",
            related=[Related("the other", first)],
        )

    def _refuse_protected(self, path: Path) -> None:
        self.out.add(
            "E204",
            f"`{dotted(path)}` is defined in policies/ and cannot be changed by an overlay",
            self.document.key_span(path),
            help="change it where it is defined",
            related=[Related("defined here", self.tree.place(path))],
        )

    def _unknown(self, path: Path) -> None:
        parent = self.tree.get(path[:-1])
        known = sorted(parent) if isinstance(parent, dict) else []
        guess = did_you_mean(str(path[-1]), known)
        there = "there is: " + ", ".join(known) if known else "there is none yet"
        advice = (f"did you mean `{guess}`? " if guess else "") + there
        self.out.add(
            "E203",
            f"the overlay changes `{dotted(path)}`, which does not exist",
            self.document.key_span(path),
            help=f"{advice}; `$add: true` beside it allows new names",
        )
