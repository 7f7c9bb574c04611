"""Diagnostics as workflow commands: GitHub Actions shows them in the pull request at their line.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from engine.codes import Severity
from engine.compiler.render.count import counted
from engine.compiler.render.excerpt import visible
from engine.diagnostics import Diagnostic

_COMMAND: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "note": "notice"}


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], *, prefix: str = "") -> str:
    """One command a line. `prefix` is the workspace's path in the repository, put before each file's.

    `sources` is not needed: GitHub has the files. It is taken so that all renderers are called alike.
    """
    found, beyond = counted(diagnostics)
    lines = [_line(diagnostic, prefix) for diagnostic in found]
    if beyond:
        lines.append(f"::notice title=engine validate::{beyond} more not shown")
    return "".join(f"{line}\n" for line in lines)


def _line(diagnostic: Diagnostic, prefix: str) -> str:
    properties: dict[str, object] = {}
    span = diagnostic.span
    if span:
        properties = {"file": _path(prefix, span.file), "line": span.line, "endLine": span.end_line}
        if span.line == span.end_line:  # GitHub refuses columns over several lines
            properties = {
                "file": properties["file"],
                "line": span.line,
                "col": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
            }
    properties["title"] = f"{diagnostic.code} {diagnostic.slug}"
    said = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{_COMMAND[diagnostic.severity]} {said}::{_data(_message(diagnostic))}"


def _message(diagnostic: Diagnostic) -> str:
    lines = [visible(diagnostic.message)]
    lines += [f"{visible(related.message)}: {visible(str(related.span))}" for related in diagnostic.related]
    if diagnostic.help:
        lines.append(f"help: {visible(diagnostic.help)}")
    return "\n".join(lines)


def _path(prefix: str, file: str) -> str:
    return file if not prefix or file.startswith("builtin:") else f"{prefix.rstrip('/')}/{file}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(text)).replace(":", "%3A").replace(",", "%2C")
