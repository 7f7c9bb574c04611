"""What holds for who asks, whatever is asked for: its groups, and the policies whose `when` it meets.

Worked out once for each key and kept as long as the key is. All that applies holds at once: allow-lists
intersect, budgets and limits add up, ceilings are the lowest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.errors import NotAdmitted
from engine.plan import narrow
from engine.plan.code import bind_expr
from engine.plan.money import MoneySegment
from engine.plan.people import DEFAULT, Floor, Group, People
from engine.plan.types import Admit, Ceilings
from engine.policies.networks import Networks
from engine.runtime.views import Key

#: A condition on a key: (request, key, clock, labels); it reads the key alone.
Test = Callable[..., Any]

#: So many keys are remembered at a time. Tokens of an identity provider come and go.
_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """What holds for a key beside what routes say.

    models: lists of names, `*` may end one; a model is allowed that is in all of them. credentials: the only
    ones that may be shown to vendors. explicit: none from a provider file's defaults. refused: why it may do
    nothing at all. ips: where its requests come from, each of these. plain: nothing beside the routes' own
    terms holds for it.
    """

    key: Key
    groups: tuple[str, ...] = ()
    models: tuple[tuple[str, ...], ...] = ()
    budgets: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    residency: tuple[str, ...] | None = None
    admit: Admit | None = None
    per_request: Ceilings | None = None
    credentials: tuple[str, ...] | None = None
    explicit: bool = False
    refused: str | None = None
    ips: tuple[Networks, ...] = ()
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        more = (self.residency, self.admit, self.per_request, self.credentials)
        plain = not (self.budgets or self.limits or self.explicit or any(each is not None for each in more))
        object.__setattr__(self, "plain", plain)  # asked for every request

    def may_ask(self, model: str) -> bool:
        """Whether it may ask for this name."""
        return all(any(_covers(pattern, model) for pattern in listed) for listed in self.models)

    def may_list(self, name: str) -> bool:
        """The same of a name as routes write it: a pattern is told where it may ask for a part of it."""
        if not name.endswith("*"):
            return self.may_ask(name)
        return all(any(_meet(name, pattern) for pattern in listed) for listed in self.models)

    def check(self) -> None:
        """Raises NotAdmitted (403) where it may do nothing."""
        if self.refused is not None:
            raise NotAdmitted(self.refused, status=403, code="key_not_allowed")


class Persons:
    """The people of one plan, bound."""

    def __init__(self, people: People, money: MoneySegment) -> None:
        self._people = people
        self._money = money
        self._groups = [(each, _bound(each)) for each in people.groups]
        self._floors = [(each, _bound(each)) for each in people.floors]
        self._named: Mapping[str, Group] = {group.name: group for group in people.groups}
        self._known: dict[int, Person] = {}

    def of(self, key: Key) -> Person:
        """What holds for a key."""
        found = self._known.get(id(key))
        if found is None or found.key is not key:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            found = self._known[id(key)] = self._work_out(key)
        return found

    def _work_out(self, key: Key) -> Person:
        refused = self._refused(key)
        groups = self._groups_of(key)
        if refused is not None:
            return Person(key, refused=refused, ips=_ranges(key, groups))
        floors = [floor for floor, holds in self._floors if holds(key)]
        residency: tuple[str, ...] | None = None
        credentials: tuple[str, ...] | None = None
        admit: Admit | None = None
        ceilings: Ceilings | None = None
        above: tuple[Group | Floor, ...] = (*groups, *floors)
        for each in above:
            residency = narrow.within(residency, each.residency)
        for floor in floors:
            credentials = narrow.within(credentials, floor.credentials)
            if floor.admit is not None:
                admit = floor.admit if admit is None else narrow.admit(admit, floor.admit)
            if floor.per_request is not None:
                ceilings = (
                    floor.per_request if ceilings is None else narrow.ceilings(ceilings, floor.per_request)
                )
        said: tuple[Key | Group | Floor, ...] = (key, *above)
        return Person(
            key,
            groups=tuple(group.name for group in groups),
            models=tuple(each.models for each in said if each.models is not None),
            budgets=_all(each.budgets for each in said),
            limits=_all(each.limits for each in said),
            residency=residency,
            admit=admit,
            per_request=ceilings,
            credentials=credentials,
            explicit=any(floor.explicit for floor in floors),
            ips=_ranges(key, groups),
        )

    def _groups_of(self, key: Key) -> list[Group]:
        """Those it names, those whose `when` holds; `default` where these are none."""
        found = [
            group
            for group, holds in self._groups
            if group.name in key.groups or (group.when is not None and group.name != DEFAULT and holds(key))
        ]
        usual = self._named.get(DEFAULT)
        return [usual] if not found and usual is not None else found

    def _refused(self, key: Key) -> str | None:
        """Why a key may do nothing: it lacks a tag that is asked for, or names what is no more."""
        people = self._people
        who = f"the client key `{key.name}`" if key.name else "this request has no client key, so it"
        required = (name for name, tag in people.tags.items() if tag.required)
        for tag in required if key.id else people.must:
            if not key.tags.get(tag):
                return f"{who} lacks the tag `{tag}`, which every client key must carry here"
        for noun, names, known in (
            ("group", key.groups, self._named),
            ("budget", key.budgets, self._money.budgets),
            ("limit", key.limits, self._money.limits),
        ):
            gone = next((name for name in names if name not in known), None)
            if gone is not None:
                return f"{who} names the {noun} `{gone}`, which there is no more: it has to be made anew"
        return None


def _bound(each: Group | Floor) -> Callable[[Key], bool]:
    if each.when is None:
        return lambda _: True
    test = bind_expr(each.when)
    return lambda key: bool(test(None, key, None, None))


def _ranges(key: Key, groups: Iterable[Group]) -> tuple[Networks, ...]:
    said: tuple[Key | Group, ...] = (key, *groups)
    return tuple(Networks(each.ips) for each in said if each.ips)


def _all(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in names for name in each))


def _covers(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


def _meet(route: str, allowed: str) -> bool:
    """Whether some name is both: `openai/*` and `openai/gpt*`."""
    if not allowed.endswith("*"):
        return _covers(route, allowed)
    a, b = route[:-1], allowed[:-1]
    return a.startswith(b) or b.startswith(a)
