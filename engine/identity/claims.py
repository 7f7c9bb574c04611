"""A good token's claims as the `Key` that routes, policies and budgets read.

What a claim says is checked as a client key in Git is: organisations and values of tags are the declared
ones. What is not there is empty; whether a key may lack it is decided where all keys are looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.errors import RequestError
from engine.plan.identity import Issuer, Take
from engine.plan.people import People
from engine.runtime.views import Key, Texts

#: Longest text taken from a claim.
_LONGEST: Final = 256


def key_of(claims: Mapping[str, Any], issuer: Issuer, people: People) -> Key:
    """Who a token's subject is. Raises RequestError (403) where it is somebody who has no place here."""
    tags = dict(issuer.tags)
    for tag, take in issuer.take_tags.items():
        tags[tag] = value = _one(claims, take, f"the tag `{tag}`", issuer)
        declared = people.tags[tag].values if tag in people.tags else None
        if value and declared is not None and value not in declared:
            raise _misfit(issuer, f"the tag `{tag}`", "a value that is not declared here")
    org = issuer.org
    if issuer.take_org is not None:
        org = _one(claims, issuer.take_org, "its organisation", issuer)
        if org and people.orgs is not None and org not in people.orgs:
            raise _misfit(issuer, "its organisation", "one that is not declared here")
    name = "" if issuer.take_name is None else _one(claims, issuer.take_name, "its name", issuer)
    known = {group.name for group in people.groups}
    taken = () if issuer.take_groups is None else _texts(claims, issuer.take_groups)
    groups = dict.fromkeys((*issuer.groups, *(group for group in taken if group in known)))
    identity = _identity("jwt", issuer.issuer, claims["sub"])
    return Key(id=identity, name=name or identity, org=org, tags=Texts(tags), groups=tuple(groups))


def _identity(kind: str, *what: str) -> str:
    """An id that is the same each time, and from which nobody reads whose it is."""
    return f"{kind}-{hashlib.sha256(chr(0).join(what).encode()).hexdigest()[:32]}"


def certificate_id(kind: str, name: str) -> str:
    """The id of whoever a certificate names."""
    return _identity("mtls", kind, name)


def _one(claims: Mapping[str, Any], take: Take, what: str, issuer: Issuer) -> str:
    """The text that a claim gives; empty where it gives none."""
    found = list(dict.fromkeys(_texts(claims, take)))
    if take.values is not None:
        return found[0] if found else ""
    if len(found) > 1:
        raise _misfit(issuer, what, "several values; the workspace has to say which one counts")
    return found[0] if found else ""


def _texts(claims: Mapping[str, Any], take: Take) -> Iterator[str]:
    """Every text that stands there; with `values`, what those that are named stand for, in that order."""
    value: Any = claims
    for step in take.path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
    there = [text for each in (value if isinstance(value, list) else [value]) if (text := _text(each))]
    if take.values is None:
        yield from there
    else:
        yield from (ours for theirs, ours in take.values if theirs in there)


def _text(value: Any) -> str:
    """A claim's plain value; empty for what is none, and for what is too long to be a name of anything."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable():
        return value
    return ""


def _misfit(issuer: Issuer, what: str, why: str) -> RequestError:
    text = f"the token of `{issuer.name}` gives {what} {why}"
    return RequestError(text, status=403, code="key_not_allowed")
