"""The page of canonical types, read out of `engine/wire/canonical.py`: its classes, fields and comments."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from engine.wire import canonical


def canonical_page() -> str:
    """Every canonical type with its fields."""
    text = Path(canonical.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text)
    comments = _comments(text)
    lines = ["# Canonical types", "", ast.get_docstring(tree) or ""]
    aliases: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            lines += ["", *_class(node, comments)]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            aliases += ["", *_alias(node)]
    return "\n".join([*lines, *aliases]) + "\n"


def _class(node: ast.ClassDef, comments: dict[int, str]) -> list[str]:
    lines = [
        f"## {node.name}",
        "",
        ast.get_docstring(node) or "",
        "",
        "| field | type | |",
        "| --- | --- | --- |",
    ]
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            comment = comments.get(item.end_lineno or item.lineno, "")
            lines.append(f"| `{item.target.id}` | {_code(ast.unparse(item.annotation))} | {_cell(comment)} |")
    return lines if len(lines) > 6 else lines[:3]


def _alias(node: ast.Assign) -> list[str]:
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    assert isinstance(node.value, ast.Subscript)
    return [f"## {', '.join(names)}", "", _code(ast.unparse(node.value))]


def _comments(text: str) -> dict[int, str]:
    """Line -> the comment at its end."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return "`" + _cell(text) + "`"
