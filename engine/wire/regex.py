"""RE2 for the patterns of plans: importing this module makes it the engine that `plan.functions` uses.

`re2.compile` is linear in the text; Python's own `re` is not, and patterns here meet text that users send.
"""

from __future__ import annotations

from collections.abc import Callable

import re2

from engine.plan.functions import Regex, register_regex

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


def compile_pattern(pattern: str) -> Regex:
    """The pattern, compiled by RE2. Raises `re2.error`."""
    compiled: Regex = re2.compile(pattern, _OPTIONS)
    return compiled


def compile_markers(patterns: tuple[str, ...]) -> Callable[[bytes], object] | None:
    """A search for any of the patterns in bytes of whatever encoding; None where there are none."""
    if not patterns:
        return None
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    either = "|".join(f"(?:{pattern})" for pattern in patterns)
    search: Callable[[bytes], object] = re2.compile(either.encode(), options).search
    return search


register_regex(compile_pattern)
