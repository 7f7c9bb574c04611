"""`RateLimit-Policy` and `RateLimit`: what a client's own limits allow, and what is left of them now.

After draft-ietf-httpapi-ratelimit-headers (11): each field is a list of structured-field items, a string with
parameters. A limit's requests stand under its name; its tokens and its requests at a time have names and
units of their own, because one name is one quota. `tokens` is no registered unit.

    RateLimit-Policy: "per-key";q=100;w=60, "per-key/tokens";q=200000;qu="tokens";w=60
    RateLimit: "per-key";r=42;t=12, "per-key/tokens";r=180000;t=6
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Final

from engine.plan.money import Measure
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
    policies, now = [], []
    for each in told:
        suffix, unit = _KINDS[each.measure]
        name = f'"{each.name}{suffix}"'
        window = "" if each.window_s is None else f";w={min(each.window_s, _MOST)}"
        resets = "" if each.resets_s is None else f";t={min(each.resets_s, _MOST)}"
        policies.append(f"{name};q={min(each.limit, _MOST)}{unit}{window}")
        now.append(f"{name};r={min(each.left, _MOST)}{resets}")
    return [(POLICY, ", ".join(policies).encode()), (NOW, ", ".join(now).encode())]
