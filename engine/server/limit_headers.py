"""`RateLimit-Policy` and `RateLimit`: what a client's own limits allow, and what is left of them now.

After draft-ietf-httpapi-ratelimit-headers (11): each field is a list of structured-field items, a string with
parameters. A limit's requests stand under its name; its tokens and its requests at a time have names and
units of their own, because one name is one quota. `tokens` is no registered unit.

    RateLimit-Policy: "per-key";q=100;w=60, "per-key/tokens";q=200000;qu="tokens";w=60
    RateLimit: "per-key";r=42;t=12, "per-key/tokens";r=180000;t=6
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Final

from engine.plan.money import Measure
from engine.runtime.limit_term import Policy
from engine.runtime.quotas import Quota, Told
from engine.server.replies import Headers

POLICY: Final = b"ratelimit-policy"
NOW: Final = b"ratelimit"

#: What a name gets beside the limit's, and the unit where it is not requests.
_KINDS: Final[dict[Measure, tuple[str, str]]] = {
    "requests": ("", ""),
    "tokens": ("/tokens", ';qu="tokens"'),
    "concurrent": ("/concurrent", ';qu="concurrent-requests"'),
}
#: The largest integer that a structured field holds.
_MOST: Final = 999_999_999_999_999


async def limit_headers(quota: Quota | None) -> Headers:
    """What an answer tells of its client's limits; nothing where none is the client's own."""
    if quota is None:
        return []
    told = quota.told()
    return _written(told if isinstance(told, Sequence) else await told)


def known_headers(quota: Quota | None) -> Headers:
    """`limit_headers`, as far as nobody has to be waited for."""
    told = [] if quota is None else quota.told()
    if isinstance(told, Sequence):
        return _written(told)
    if isinstance(told, Coroutine):
        told.close()
    return []


def _written(told: Sequence[Told]) -> Headers:
    if not told:
        return []
    names, policy = _policies(tuple([each.policy for each in told]))
    now = [
        f"{name};r={min(each.left, _MOST)}"
        if each.resets_s is None
        else f"{name};r={min(each.left, _MOST)};t={each.resets_s}"
        for name, each in zip(names, told, strict=True)
    ]
    return [(POLICY, policy), (NOW, ", ".join(now).encode())]


@lru_cache(maxsize=1_024)
def _policies(policies: tuple[Policy, ...]) -> tuple[tuple[str, ...], bytes]:
    """The items' names, and the field of what does not change."""
    names, items = [], []
    for name, measure, limit, window_s in policies:
        suffix, unit = _KINDS[measure]
        names.append(f'"{name}{suffix}"')
        window = "" if window_s is None else f";w={window_s}"
        items.append(f"{names[-1]};q={min(limit, _MOST)}{unit}{window}")
    return tuple(names), ", ".join(items).encode()
