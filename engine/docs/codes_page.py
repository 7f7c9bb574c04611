"""The page of a diagnostic's code: what `engine explain CODE` prints, and the reference page of all codes."""

from __future__ import annotations

from engine.codes import CODES, Code
from engine.compiler.suggest import did_you_mean

#: Letters that stand for digits by mistake.
_LOOK_ALIKE = str.maketrans("OIL", "011")


class UnknownCode(LookupError):
    """No such code; the message says which was probably meant."""


def page(code: str) -> str:
    """The page of one code, as Markdown. Raises `UnknownCode`."""
    wanted = code.strip().upper()
    row = CODES.get(wanted) or _by_slug(code.strip().lower())
    if row is None:
        raise UnknownCode(_unknown(code, wanted))
    return "\n".join(_lines(row, "#"))


def codes_page() -> str:
    """All codes, in order."""
    lines = [
        "# Diagnostics",
        "",
        "What `engine validate` finds. A code is permanent: it is never given to another fault.",
        "",
    ]
    lines += ["| code | name | severity | since |", "| --- | --- | --- | --- |"]
    rows = [CODES[code] for code in sorted(CODES)]
    lines += [f"| [{r.code}](#{anchor(r)}) | {r.slug} | {r.severity} | {r.since} |" for r in rows]
    for row in rows:
        lines += ["", *_lines(row, "##")]
    return "\n".join(lines) + "\n"


def anchor(row: Code) -> str:
    """The anchor of a code's heading, as Markdown viewers make it."""
    return f"{row.code.lower()}-{row.slug}"


def _lines(row: Code, level: str) -> list[str]:
    lines = [
        f"{level} {row.code} {row.slug}",
        "",
        f"{row.severity.capitalize()}, since {row.since}.",
        "",
        row.why,
    ]
    lines += ["", f"**What to do:** {row.fix}"]
    for title, example in (("Gives it", row.bad), ("Does not", row.good)):
        if example is not None:
            lines += ["", f"{title}:", *_example(example)]
    return lines


def _example(example: str | dict[str, str]) -> list[str]:
    files = {"routes/example.yaml": example} if isinstance(example, str) else example
    lines: list[str] = []
    for path, text in files.items():
        fence = "````" if "```" in text else "```"
        lines += ["", f"{fence}yaml", f"# {path}", *text.rstrip("\n").split("\n"), fence]
    return lines


def _by_slug(slug: str) -> Code | None:
    return next((row for row in CODES.values() if row.slug == slug), None)


def _unknown(code: str, wanted: str) -> str:
    near: str | None = wanted.translate(_LOOK_ALIKE)
    if near not in CODES:
        near = did_you_mean(code.strip().lower(), [row.slug for row in CODES.values()])
    hint = f"did you mean {near}? " if near else ""
    return f"there is no diagnostic {code!r}: {hint}codes are {min(CODES)} to {max(CODES)}, by number or name"
