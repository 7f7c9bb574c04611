"""Texts that look like somebody's secret, wherever they stand: they are never printed, logged or kept."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: Keys of well-known services, by the prefixes that vendors document; tokens; private keys.
_SECRETS: Final = re.compile(
    r"\b(?:sk-(?:ant-|proj-|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|gsk_[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|AIza[0-9A-Za-z_-]{35}|xai-[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|engk_[A-Za-z0-9_-]{16,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_=-]{10,}\."
    r"|(?:r8|pplx|nvapi|fw|tgp_v1)[_-][A-Za-z0-9_-]{30,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bhooks\.slack\.com/services/T[A-Za-z0-9]+/"
)

#: No secret that is looked for is shorter.
LEAST: Final = 15

#: So many characters of a client's own words are kept.
LONGEST: Final = 200

#: What stands for a text that is not shown.
HIDDEN: Final = "(looks like a secret)"


def looks_secret(text: str) -> bool:
    """True for a text that holds what a vendor would call a key. Such a text is never printed."""
    return len(text) >= LEAST and _SECRETS.search(text) is not None


def without_secrets(text: str) -> str:
    """The text with stars for what a vendor would call a key; as long as before."""
    return _SECRETS.sub(lambda found: "*" * len(found[0]), text)


def safe(text: str) -> str:
    """A client's own words as they may be kept: cut where long, hidden where they look like a secret."""
    return _safe(text) if len(text) <= LONGEST else _safe(text[:LONGEST]) + "..."


@lru_cache(maxsize=1024)
def _safe(text: str) -> str:
    """Clients say few different things at this place."""
    return HIDDEN if looks_secret(text) else text
