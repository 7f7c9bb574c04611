"""The page of canonical types, read out of `engine/wire`: classes, fields and comments, chats first."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from engine.wire import canonical, operations


def canonical_page() -> str:
    """Every canonical type with its fields."""
    chats = _types(Path(str(canonical.__file__)))
    others = _types(Path(str(operations.__file__)))
    return "\n".join(["# Canonical types", "", *chats, "", "# Beside chat", "", *others]) + "\n"


def _types(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    comments = _comments(text)
    lines = [ast.get_docstring(tree) or ""]
    aliases: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _is_form(node):
            lines += ["", *_class(node, comments)]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            aliases += ["", *_alias(node)]
    return [*lines, *aliases]


def _is_form(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "TypedDict" for base in node.bases)


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
