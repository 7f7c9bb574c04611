"""What a model's requests cost beside their text: as its provider's file says, else by its name.

The rules by name are `providers.d/facts/overheads.yaml`, shipped and read once per process: a model is the
same wherever it is hosted.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final

from engine.builtin import builtin
from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics
from engine.plan.vendors import Facts, ImageTokens
from engine.spec.overhead import OverheadSpec

_FILE: Final = "facts/overheads.yaml"


def with_overhead(facts: Facts, model: str, said: OverheadSpec | None) -> Facts:
    """The facts of a model with what is known of its overhead. `said`: by its provider's file."""
    image: ImageTokens | None = None
    tokens: dict[str, int] = {}
    written = () if said is None else (said.model_dump(exclude_unset=True, exclude_none=True),)
    for overhead in (*written, *_by_name(model.lower())):
        for key, value in overhead.items():
            if key != "image":
                tokens.setdefault(key, value)
            elif image is None:
                image = ImageTokens(value) if isinstance(value, int) else ImageTokens(**value)
    if image is None and not tokens:
        return facts
    return dataclasses.replace(facts, overhead=tokens or None, image=image)


@cache
def rules() -> tuple[Mapping[str, Any], ...]:
    """Those that are shipped, in the order of the file: each is an `OverheadRule`, which a test sees to (to
    validate them here would cost 30 ms).

    Raises:
        ValueError: the file is broken.
    """
    path = builtin("providers.d") / _FILE
    text = path.read_text()
    out = Diagnostics()
    document = parse(Source(path.name, "provider", text, hashlib.sha256(text.encode()).hexdigest()), out)
    if document is None or out.failed:
        raise ValueError("; ".join(f"{path.name}: {each.message}" for each in out))
    return tuple(document.data["rules"])


@cache
def _by_name(model: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        rule["overhead"] for rule in rules() if any(fnmatchcase(model, pattern) for pattern in rule["models"])
    )
