"""`did you mean`: the known word nearest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None if none is like enough to be worth saying.

    Case, `-` against `_`, and a plural `s` count as small slips. Short words need a closer match, so that
    `a` is never offered for `b`. Equal scores go to the first in alphabetical order: messages are stable.
    """
    import difflib  # needed only once a fault is found: start-up does not pay for it

    wanted = _folded(word)
    if not wanted:
        return None
    best: tuple[float, str] | None = None
    for candidate in sorted(set(candidates)):
        if candidate == word:
            continue
        folded = _folded(candidate)
        score = 1.0 if folded == wanted else difflib.SequenceMatcher(None, wanted, folded).ratio()
        if _one_swap(wanted, folded):
            score = max(score, 0.9)
        if score >= _cutoff(wanted) and (best is None or score > best[0]):
            best = (score, candidate)
    return best[1] if best else None


def _folded(word: str) -> str:
    return word.casefold().replace("_", "-").removesuffix("s")[:64]


def _cutoff(word: str) -> float:
    return 0.75 if len(word) <= 4 else 0.65


def _one_swap(a: str, b: str) -> bool:
    """Two neighbours changed places: the commonest slip of fast fingers."""
    if len(a) != len(b) or a == b:
        return False
    differ = [i for i in range(len(a)) if a[i] != b[i]]
    return (
        len(differ) == 2
        and differ[1] == differ[0] + 1
        and a[differ[0]] == b[differ[1]]
        and a[differ[1]] == b[differ[0]]
    )
