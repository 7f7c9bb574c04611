"""Templates of provider and dialect files (`compiler/expr`)."""

from __future__ import annotations

from engine.codes.code import Code

CODES = (
    Code(
        "E330",
        "unknown-directive",
        why="Keys that begin with `$` are directives, and there is none of this name.",
        fix="Correct it; a key that really begins with `$` is written with two: `$$ref`.",
    ),
    Code(
        "E331",
        "bad-directive",
        why="The directive lacks a part, has one too many, or a part is not what it can be.",
        fix="Write it as the message says.",
    ),
    Code(
        "E332",
        "bad-block",
        why="`$use` names a block that does not exist, or one that would contain itself.",
        fix="Use one of the names under `blocks`, and break the circle.",
    ),
    Code(
        "E333",
        "template-too-large",
        why="The template is beyond the limits of size, depth or loops: it is compiled to code that runs "
        "for every request.",
        fix="Split it, or let it do less.",
    ),
    Code(
        "E334",
        "unclosed-expression",
        why="`${{` begins an expression that never ends.",
        fix="Close it with `}}`; a literal `${{` stands in `{$literal: ...}`.",
    ),
    Code(
        "E335",
        "unsafe-header",
        why="A line break or NUL in a header's value would begin another header.",
        fix="Remove it.",
    ),
    Code(
        "E336",
        "unknown-canonical-field",
        why="The template makes a canonical value, and that has no such field: nothing would ever read it.",
        fix="Use one of the fields in the message, or put it under `provider_data`.",
    ),
)
