"""What is asked of a new client key, checked against what the workspace declares."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

#: A client's name: as every other name in a workspace.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class WantedFault(Exception):
    """What is wanted cannot be had. `help`: what to do."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class Declared:
    """What a workspace knows. orgs: None: any. tags: name -> (its values, None: any text; whether required).

    Of budgets and limits those in `bound` lead elsewhere, by a `use`, on some routes only.
    """

    orgs: Collection[str] | None
    tags: Mapping[str, tuple[Collection[str] | None, bool]]
    groups: Collection[str]
    budgets: Collection[str]
    limits: Collection[str]
    models: Collection[str]
    bound: Collection[str] = ()


def check_name(name: str) -> None:
    """Raises WantedFault."""
    if not _NAME.fullmatch(name):
        raise WantedFault(
            f"{name!r} is no name", "letters, digits, `.`, `_`, `-`; a letter or digit first; at most 63"
        )


def read_tags(texts: Iterable[str]) -> dict[str, str]:
    """`team=support` as a tag and its value. Raises WantedFault."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise WantedFault(f"--tag {text}: that is no tag", "write --tag NAME=VALUE")
        if name in found:
            raise WantedFault(f"--tag {name} stands twice")
        found[name] = value
    return found


def check(
    declared: Declared,
    *,
    org: str,
    tags: Mapping[str, str],
    groups: Iterable[str],
    budgets: Iterable[str],
    limits: Iterable[str],
    models: Iterable[str],
) -> None:
    """Raises WantedFault for the first thing that the workspace does not know, or lacks."""
    if org and declared.orgs is not None:
        _known("organisation", org, declared.orgs, "declare it: `keys: {orgs: [...]}`")
    for name, value in tags.items():
        _known("tag", name, declared.tags, "declare it: `keys: {tags: {...}}`")
        values = declared.tags[name][0]
        if values is not None:
            _known(f"value of the tag `{name}`", value, values)
    lacking = [name for name, (_, required) in declared.tags.items() if required and name not in tags]
    if lacking:
        raise WantedFault(
            f"every client key must carry the tag `{lacking[0]}` here", f"add --tag {lacking[0]}=VALUE"
        )
    for noun, names, known in (
        ("group", groups, declared.groups),
        ("budget", budgets, declared.budgets),
        ("limit", limits, declared.limits),
    ):
        for name in names:
            _known(noun, name, known)
            if name in declared.bound and noun != "group":
                raise WantedFault(
                    f"the {noun} `{name}` sends requests elsewhere (`use`), and that is proven only for the "
                    "routes that name it",
                    "let a group name it and put the key into the group, or keep the key in Git (--print)",
                )
    for model in models:
        if not any(_meet(model, name) for name in declared.models):
            raise WantedFault(f"no route takes a model `{model}`", _there_is(model, declared.models))


def _known(noun: str, name: str, known: Collection[str], advice: str | None = None) -> None:
    if name not in known:
        told = _there_is(name, known)
        raise WantedFault(f"there is no {noun} `{name}`", f"{told}; {advice}" if advice else told)


def _there_is(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(sorted(known)[:12]) or "none"
    return (f"did you mean `{near[0]}`? " if near else "") + f"there is: {listed}"


def _meet(asked: str, taken: str) -> bool:
    """Whether a name or pattern and one of a route have a name in common."""
    a, b = asked.removesuffix("*"), taken.removesuffix("*")
    if asked.endswith("*"):
        return b.startswith(a) or (taken.endswith("*") and a.startswith(b))
    return a.startswith(b) if taken.endswith("*") else a == b
