"""Diagnostics as JSON, in the stable form of `Diagnostic.as_json`, with their counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from engine.compiler.render.count import counted, tally
from engine.diagnostics import Diagnostic


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> str:
    """`{"diagnostics": [...], "errors": n, "warnings": n, "notes": n, "not_shown": n}` and a line end.

    `sources` is not needed: places are numbers here. It is taken so that all renderers are called alike.
    """
    found, beyond = counted(diagnostics)
    body: dict[str, object] = {"diagnostics": [diagnostic.as_json() for diagnostic in found]}
    body |= {f"{severity}s": number for severity, number in tally(found).items()}
    body["not_shown"] = beyond
    # ASCII: a file name that is not UTF-8 would make the output undecodable.
    return json.dumps(body, indent=2) + "\n"
