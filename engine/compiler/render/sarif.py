"""Diagnostics as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), for code scanning."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from engine.codes import CODES
from engine.compiler.render.count import counted
from engine.diagnostics import Diagnostic, Span
from engine.version import VERSION

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], *, prefix: str = "") -> str:
    """One run with a rule for every code that occurs. `prefix` is the workspace's path in the repository.

    `sources` is not needed: SARIF refers to the files. It is taken so that all renderers are called alike.
    """
    found, _ = counted(diagnostics)
    codes = sorted({diagnostic.code for diagnostic in found})
    index = {code: number for number, code in enumerate(codes)}
    driver = {"name": "engine", "version": VERSION, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, index, prefix) for diagnostic in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> dict[str, Any]:
    row = CODES[code]
    return {
        "id": code,
        "name": row.slug,
        "shortDescription": {"text": row.slug.replace("-", " ")},
        "fullDescription": {"text": row.why},
        "help": {"text": f"{row.fix}\n\n`engine explain {code}` says more."},
        "defaultConfiguration": {"level": row.severity},
    }


def _result(diagnostic: Diagnostic, index: Mapping[str, int], prefix: str) -> dict[str, Any]:
    message = diagnostic.message
    if diagnostic.help:
        message += f"\nHelp: {diagnostic.help}"
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": index[diagnostic.code],
        "level": diagnostic.severity,
        "message": {"text": _text(message)},
    }
    if diagnostic.span:
        result["locations"] = [{"physicalLocation": _location(diagnostic.span, prefix)}]
    if diagnostic.related:
        result["relatedLocations"] = [
            {
                "id": number,
                "message": {"text": _text(related.message)},
                "physicalLocation": _location(related.span, prefix),
            }
            for number, related in enumerate(diagnostic.related, 1)
        ]
    return result


def _location(span: Span, prefix: str) -> dict[str, Any]:
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    return {"artifactLocation": _artifact(span.file, prefix), "region": region}


def _artifact(file: str, prefix: str) -> dict[str, str]:
    scheme, colon, inside = file.partition(":")
    if colon and scheme == "builtin":
        return {"uri": f"builtin:{_uri(inside)}"}
    path = f"{prefix.rstrip('/')}/{file}" if prefix else file
    return {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}


def _uri(path: str) -> str:
    return quote(path, errors="surrogateescape")


def _text(message: str) -> str:
    """Text without lone surrogates, which JSON readers refuse."""
    return message.encode("utf-8", "backslashreplace").decode()
