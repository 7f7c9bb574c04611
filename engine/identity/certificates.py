"""Clients' certificates as identities: a `Source` of the server's, for connections of `tls.clients`.

OpenSSL has verified the certificate; here its names are looked for among the workspace's rules. A rule
without `*` comes before one with, a longer pattern before a shorter one, so their order in files is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.identity.claims import certificate_id
from engine.plan.identity import Certificate
from engine.runtime.views import Key, Texts

#: Under this key of an ASGI scope stand the names of a verified certificate, as (kind, name).
NAMES: Final = "engine.certificate"

#: What `*` does not reach over, by the kind of name.
_BETWEEN: Final = {"uri": "/", "dns": ".", "email": "@"}
#: Names of hosts, and of people's hosts, are alike in capitals and small letters.
_ALIKE: Final = frozenset({"dns", "email"})
#: People that are remembered.
_KNOWN: Final = 10_000


class Certificates:
    """The rules of one plan."""

    def __init__(self, rules: Iterable[Certificate]) -> None:
        ordered = sorted(rules, key=lambda rule: ("*" in rule.pattern, -len(rule.pattern), rule.name))
        self._rules = [(rule, _matcher(rule)) for rule in ordered]
        self._known: dict[tuple[tuple[str, str], ...], Key] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find(self, shown: bytes, head: Mapping[bytes, bytes], scope: Mapping[str, Any]) -> Key | None:
        """Whose certificate the connection was made with; where a key is shown, that is asked for."""
        names = scope.get(NAMES)
        if shown or not names:
            return None
        found = self._known.get(names)
        if found is None:
            found = self._look_for(names)
            if found is not None:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[names] = found
        return found

    def _look_for(self, names: tuple[tuple[str, str], ...]) -> Key | None:
        for rule, matches in self._rules:
            for kind, name in names:
                if kind == rule.kind and matches.fullmatch(name):
                    return _key(rule, name)
        return None


def _matcher(rule: Certificate) -> re.Pattern[str]:
    between = _BETWEEN.get(rule.kind)
    part = "[^" + re.escape(between) + "]+" if between is not None else ".+"
    text = part.join(re.escape(piece) for piece in rule.pattern.split("*"))
    return re.compile(text, re.IGNORECASE if rule.kind in _ALIKE else 0)


def _key(rule: Certificate, name: str) -> Key:
    """Who it is: the same over all certificates with this name."""
    known_by = name.lower() if rule.kind in _ALIKE else name
    return Key(
        id=certificate_id(rule.kind, known_by),
        name=rule.name,
        org=rule.org,
        tags=Texts(rule.tags),
        groups=rule.groups,
    )
