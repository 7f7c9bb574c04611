"""Templates of provider and dialect files (`compiler/expr`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import with_dialect


def header(template: str) -> dict[str, str]:
    """A workspace with a dialect that sends one more header, which is this template."""
    return with_dialect(f"operations: {{chat: {{headers: {{x-team: {template}}}}}}}\n")


CODES = (
    Code(
        "E330",
        "unknown-directive",
        why="Keys that begin with `$` are directives, and there is none of this name.",
        fix="Correct it; a key that really begins with `$` is written with two: `$$ref`.",
        bad=header("{$fi: target.model, $then: a}"),
        good=header("{$if: target.model, $then: a}"),
    ),
    Code(
        "E331",
        "bad-directive",
        why="The directive lacks a part, has one too many, or a part is not what it can be.",
        fix="Write it as the message says.",
        bad=header("{$if: target.model}"),
        good=header("{$if: target.model, $then: a}"),
    ),
    Code(
        "E332",
        "bad-block",
        why="`$use` names a block that does not exist, or one that would contain itself.",
        fix="Use one of the names under `blocks`, and break the circle.",
        bad=with_dialect("blocks: {team: blue}\noperations: {chat: {headers: {x-team: {$use: taem}}}}\n"),
        good=with_dialect("blocks: {team: blue}\noperations: {chat: {headers: {x-team: {$use: team}}}}\n"),
    ),
    Code(
        "E333",
        "template-too-large",
        why="The template is beyond the limits of size, depth or loops: it is compiled to code that runs "
        "for every request.",
        fix="Split it, or let it do less.",
        bad=with_dialect("errors: {write: " + "{a: " * 40 + "1" + "}" * 40 + "}\n"),
        good=with_dialect("errors: {write: " + "{a: " * 3 + "1" + "}" * 3 + "}\n"),
    ),
    Code(
        "E334",
        "unclosed-expression",
        why="`${{` begins an expression that never ends.",
        fix="Close it with `}}`; a literal `${{` stands in `{$literal: ...}`.",
        bad=header("'${{ target.model'"),
        good=header("'${{ target.model }}'"),
    ),
    Code(
        "E335",
        "unsafe-header",
        why="A line break or NUL in a header's value would begin another header.",
        fix="Remove it.",
        bad=header('"blue\\nx-admin: 1"'),
        good=header("blue"),
    ),
    Code(
        "E336",
        "unknown-canonical-field",
        why="The template makes a canonical value, and that has no such field: nothing would ever read it.",
        fix="Use one of the fields in the message, or put it under `provider_data`.",
        bad=with_dialect("errors: {read: {mesage: '${{ body.detail }}'}}\n"),
        good=with_dialect("errors: {read: {message: '${{ body.detail }}'}}\n"),
    ),
)
