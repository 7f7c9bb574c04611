"""Which route takes a request: exact name, then longest literal prefix, then `*`.

An exact name is one dictionary look-up however many routes there are; a prefix one per distinct length of
prefix. Several routes of one rank are told apart by `when`; if none of them holds, the next rank is asked.
Whoever serves chats also counts their tokens, unless another route is written for that.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.errors import NoRoute
from engine.plan.code import bind_expr
from engine.plan.scopes import reads_only
from engine.plan.types import Match
from engine.plan.values import Expr
from engine.runtime.people import Person

#: Operation -> the one whose routes serve it too.
IMPLIED: Final = {"count_tokens": "chat"}

#: So many names stand in a 404 at most: it is read by people.
NAMES_TOLD = 40

#: Among more names than these nobody is asked whether one of them was meant.
NAMES_COMPARED = 1_000


@dataclass(slots=True)
class _Ranks:
    """The names of one operation. A list holds (route, when) in the plan's order."""

    exact: dict[str, list[tuple[str, Expr | None]]] = field(default_factory=dict)
    prefixes: dict[str, list[tuple[str, Expr | None]]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()  # of the prefixes, longest first; the `*` is the empty prefix


class Matcher:
    """The matches of one plan."""

    def __init__(self, matches: Iterable[tuple[str, Match]] = ()) -> None:
        self._by_operation: dict[str, _Ranks] = {}
        for _ in self.take(matches):
            pass

    def take(self, matches: Iterable[tuple[str, Match]]) -> Iterator[None]:
        """Take in all matches, once; a step for each, so that thousands can be taken between other work."""
        for route, match in matches:
            yield
            for operation in match.operations:
                ranks = self._by_operation.setdefault(operation, _Ranks())
                for model in match.models:
                    star = model.endswith("*")
                    names = ranks.prefixes if star else ranks.exact
                    names.setdefault(model[:-1] if star else model, []).append((route, match.when))
        for ranks in self._by_operation.values():
            ranks.lengths = tuple(sorted({len(prefix) for prefix in ranks.prefixes}, reverse=True))

    def find(
        self,
        model: str,
        operation: str,
        holds: Callable[[str, Expr], bool],
        person: Person | None = None,
    ) -> str:
        """The route that takes `model`.

        Args:
            model: the name the client asks for.
            operation: `chat`, ...
            holds: evaluates a `when` of a route; asked only where a match has one.
            person: who asks, where that says what may be asked for.

        Raises:
            NoRoute: no route takes it; the message lists the names that may be asked for.
        """
        if person is not None and person.models and not person.may_ask(model):
            raise NoRoute(self._nobody(model, operation, person))
        for each in (operation, IMPLIED.get(operation)):
            ranks = self._by_operation.get(each) if each is not None else None
            for candidates in _candidates(ranks, model) if ranks is not None else ():
                for route, when in candidates:
                    if when is None or holds(route, when):
                        return route
        raise NoRoute(self._nobody(model, operation, person))

    def held(self) -> Iterator[Iterable[Any]]:
        """Everything that a large plan has much of, for `Snapshot.held`."""
        for ranks in self._by_operation.values():
            for names in (ranks.exact, ranks.prefixes):
                yield names
                yield names.values()

    def names(self, operation: str = "chat", person: Person | None = None) -> list[str]:
        """Every name of an operation as the plan writes it, patterns too, in order; those that `person` may
        ask for, as far as that is known before it asks.
        """
        ranks = self._by_operation.get(operation)
        if ranks is None:
            return []
        every = [*ranks.exact.items(), *((f"{prefix}*", of) for prefix, of in ranks.prefixes.items())]
        return sorted(name for name, of in every if person is None or _is_for(person, name, of))

    def _nobody(self, model: str, operation: str, person: Person | None) -> str:
        names = self.names(operation, person) or self.names(IMPLIED.get(operation, operation), person)
        if not names and (self.names(operation) or self.names(IMPLIED.get(operation, operation))):
            return f"there is no model {model!r} here for this client key, and no other that it may ask for"
        if not names:
            served = ", ".join(sorted(self._by_operation)) or "none"
            return f"no route serves the operation {operation!r}; operations here: {served}"
        # Comparing with each of many thousand names would hold up everybody else.
        near = difflib.get_close_matches(model, names, n=1) if len(names) <= NAMES_COMPARED else []
        guess = f"; did you mean {near[0]!r}?" if near else "."
        told = ", ".join(names[:NAMES_TOLD])
        more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
        return f"there is no model {model!r} here{guess} Models: {told}{more}"


def _is_for(person: Person, name: str, candidates: list[tuple[str, Expr | None]]) -> bool:
    """Whether one of these routes may take this person's requests for `name`."""
    return person.may_list(name) and any(
        when is None or not reads_only(when, "key") or bind_expr(when)(None, person.key, None, None)
        for _, when in candidates
    )


def _candidates(ranks: _Ranks, model: str) -> Iterator[list[tuple[str, Expr | None]]]:
    exact = ranks.exact.get(model)
    if exact is not None:
        yield exact
    for length in ranks.lengths:
        found = ranks.prefixes.get(model[:length]) if length <= len(model) else None
        if found is not None:
            yield found
