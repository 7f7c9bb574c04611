"""How hard a request looks, from 0 to 1: points for what makes work, added up and capped.

| what | points |
|---|---|
| length of the input | 0 at none, 0.3 at 4,000 tokens, in proportion |
| each sign of reasoning (prove, compare, step by step, why, ...) | 0.1, at most 0.3 |
| each question mark or list item beyond the first | 0.03, at most 0.15 |
| code or a formula | 0.15 |
| tools, a JSON Schema, reasoning asked for | 0.15 each |
| images, audio or files | 0.1 |
| each turn of the user beyond the first | 0.02, at most 0.1 |

A rule and no judgement: it sorts the greetings from the assignments, in any language as far as length and
form go, by words in English, German, French and Spanish.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_SIGNS: Final = re.compile(
    r"\b(?:step[ -]by[ -]step|prove|proof|derive|compare|trade-?offs?|analy[sz]e|evaluate|explain why|why"
    r"|optimi[sz]e|design|architect\w*|refactor|debug|implement|plan|strategy|critique|reason(?:ing)?"
    r"|edge cases?|complexity"
    r"|beweise|vergleiche|analysiere|begründe|warum|entwirf|optimiere|schritt für schritt"
    r"|prouve|compare[rz]?|analyse[rz]?|pourquoi|conçois|étape par étape"
    r"|demuestra|compara|analiza|por qué|diseña|paso a paso)\b",
    re.IGNORECASE,
)
_ITEMS: Final = re.compile(r"\?|？|^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_CODE: Final = re.compile(
    r"```|^\s*(?:def|class|import|function|public|SELECT|#include)\b|[{};]\s*$|\$\$|\\(?:frac|sum|int)",
    re.MULTILINE,
)
_ASKED: Final = ("tools", "json_schema", "reasoning")
_MEDIA: Final = frozenset({"image", "audio", "file"})


def complexity(text: str, tokens: int, features: Collection[str], turns: int) -> float:
    """The points of a request, from 0 to 1.

    Args:
        text: what the user wrote.
        tokens: of the whole input.
        features: what it holds or asks for beside text (`request.has`).
        turns: messages of the user.
    """
    points = 0.3 * min(tokens / 4_000, 1.0)
    points += min(0.1 * len({sign.lower() for sign in _SIGNS.findall(text)}), 0.3)
    points += min(0.03 * max(len(_ITEMS.findall(text)) - 1, 0), 0.15)
    points += 0.15 * (_CODE.search(text) is not None)
    points += 0.15 * sum(what in features for what in _ASKED)
    points += 0.1 * (not _MEDIA.isdisjoint(features))
    points += min(0.02 * max(turns - 1, 0), 0.1)
    return min(points, 1.0)
