"""Who belongs to which arm of a split: fixed shares of a line, on which a hash puts everybody.

The line is a million points long. An arm owns stretches of it, as long as its share; a user stands at one
point for good (`point`), so that only moving a stretch moves users.

| step | rule |
|---|---|
| `lay_out` | each arm begins at a place of its own and ends before the next one's; others take what is left |
| `change` | a shrinking arm gives up ends of its stretches; a growing one keeps all it has and takes these |

So whoever is on an arm whose share grows, or stays, stays on it, over any number of steps. Where a file is
edited instead, the first layout is made anew: with two arms, or while all arms but one stay below one n-th of
the line, the same holds there.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

#: Points on the line: a share is exact to a ten-thousandth of a percent.
WHOLE: Final = 1_000_000

#: (end, arm) in the order of the line: the stretch up to `end`, which is not included, is the arm's.
Stretches = tuple[tuple[int, int], ...]


def point(salt: str, value: str) -> int:
    """Where on the line a value stands: the same on every machine, and another for every salt."""
    digest = hashlib.blake2b(f"{salt}\0{value}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * WHOLE >> 64


def arm_at(stretches: Stretches, at: int) -> int:
    """The arm that owns a point."""
    return stretches[bisect_right(stretches, at, key=lambda stretch: stretch[0])][1]


def points_of(shares: Sequence[float | None]) -> tuple[int, ...]:
    """Shares as points that add up to the whole; who has none (None) gets an equal part of what is left.

    Where all are said, rounding is made up for by the largest.
    """
    points = [0 if share is None else round(share * WHOLE) for share in shares]
    left = WHOLE - sum(points)
    open_arms = [arm for arm, share in enumerate(shares) if share is None]
    if not open_arms:
        points[max(range(len(points)), key=points.__getitem__)] += left
        return tuple(points)
    each, more = divmod(max(left, 0), len(open_arms))
    for place, arm in enumerate(open_arms):
        points[arm] = each + (place < more)
    return tuple(points)


def lay_out(points: Sequence[int]) -> Stretches:
    """The first layout of arms with these many points each, which add up to the whole."""
    count = len(points)
    homes = [arm * WHOLE // count for arm in range(count)] + [WHOLE]
    owner: list[tuple[int, int, int | None]] = []
    for arm, (begin, end) in enumerate(pairwise(homes)):
        cut = min(begin + points[arm], end)
        owner += [(begin, cut, arm), (cut, end, None)]
    taken = [min(points[arm], homes[arm + 1] - homes[arm]) for arm in range(count)]
    return _filled(owner, [points[arm] - taken[arm] for arm in range(count)])


def change(before: Stretches, points: Sequence[int]) -> Stretches:
    """The layout after a change of shares: only as many move as must."""
    excess = [-wanted for wanted in points]
    begin = 0
    for end, arm in before:
        excess[arm] += end - begin
        begin = end
    missing = [max(-over, 0) for over in excess]
    owner: list[tuple[int, int, int | None]] = []
    end = WHOLE
    # From the end of the line, so that a share that grew and shrinks again gives up what it took last.
    for index in range(len(before) - 1, -1, -1):
        begin = before[index - 1][0] if index else 0
        arm = before[index][1]
        given = min(max(excess[arm], 0), end - begin)
        excess[arm] -= given
        owner += [(end - given, end, None), (begin, end - given, arm)]
        end = begin
    return _filled(owner[::-1], missing)


def _filled(owner: Sequence[tuple[int, int, int | None]], missing: list[int]) -> Stretches:
    """Hands what nobody owns to the arms that miss points, in their order; neighbours are joined."""
    found: list[tuple[int, int]] = []

    def add(end: int, arm: int) -> None:
        if found and found[-1][1] == arm:
            found.pop()
        found.append((end, arm))

    for begin, end, arm in owner:
        if arm is not None:
            if begin < end:
                add(end, arm)
            continue
        at = begin
        while at < end:
            needy = next(i for i, points in enumerate(missing) if points)
            step = min(missing[needy], end - at)
            missing[needy] -= step
            at += step
            add(at, needy)
    return tuple(found)
