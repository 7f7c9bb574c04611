"""What can go wrong with a model before it answers: one exception, told to the person who must act."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

ModelErrorCode = Literal[
    "unknown",  # no such name
    "not_fetched",  # in the catalogue, not on this disk
    "missing_file",
    "truncated",
    "corrupted",
    "symlinked",
    "bad_manifest",
    "bad_folder",  # not a GenAI folder
    "bad_name",
    "exists",
    "fetch_failed",
    "unsupported",  # a model the converter cannot turn into a GenAI folder
    "extra_missing",  # a package of an extra is not installed
    "variants",  # several onnxruntime-genai wheels over one another
    "provider_unknown",
    "no_provider",  # none of the execution providers works
    "start_failed",
]


class ModelError(Exception):
    """A model cannot be added, found, trusted or started.

    `code` is stable, `message` says what, where and why, `help` says what to do.
    """

    def __init__(self, code: ModelErrorCode, message: str, help: str) -> None:
        super().__init__(message)
        self.code: ModelErrorCode = code
        self.message = message
        self.help = help

    def __str__(self) -> str:
        return f"{self.message}\n  help: {self.help}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean "x"? ` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"? ' if near else ""
