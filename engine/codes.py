"""The table of diagnostic codes: what each is called, how bad it is, why it exists, what to do.

A code names the fault, not the cure; it is never given to another fault. `engine explain E101`
prints a row of this table, and the examples are tests: `bad` must yield the code, `good` must not.
Ranges: E0xx files and YAML, E090 not built yet, E1xx shape and units, E2xx names and graph,
E3xx expressions, E4xx dialects and providers; Wxxx warnings and Nxxx notes use the same hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Code:
    """One row. `bad` and `good` are small `routes/` files (or whole workspaces as `{path: text}`)."""

    code: str
    slug: str
    severity: Literal["error", "warning", "note"]
    why: str
    fix: str
    bad: str | dict[str, str] | None = None
    good: str | dict[str, str] | None = None
    since: str = "0.1.0"


CODES: dict[str, Code] = {}


def _table(*rows: Code) -> None:
    for row in rows:
        assert row.code not in CODES, row.code
        CODES[row.code] = row


# --- files of a workspace (compiler/load), YAML (compiler/parse), units ---------------------------------

_table(
    Code(
        "E001",
        "no-workspace",
        "error",
        why="The folder named on the command line does not exist, or is a file.",
        fix="Name the folder that holds `engine.yaml` or `routes/`, or make one with `engine init DIR`.",
    ),
    Code(
        "E002",
        "unknown-environment",
        "error",
        why="`--env NAME` picks the overlay `envs/NAME/`, and this workspace has no such folder. Going on without"
        " the overlay would run another plan than the one asked for.",
        fix="Name an environment that exists, or make `envs/NAME/*.yaml`.",
    ),
    Code(
        "E003",
        "outside-workspace",
        "error",
        why="A link leads out of the workspace. Only what lies inside is read, so that a revision means one set of"
        " files, and a workspace from elsewhere cannot pull in files of this machine.",
        fix="Copy the file or folder into the workspace.",
    ),
    Code(
        "E004",
        "not-a-file",
        "error",
        why="Something that ends in `.yaml` is a folder, a FIFO, a socket or a device. Reading it could hang.",
        fix="Put a plain file there, or give it another name.",
    ),
    Code(
        "E005",
        "unreadable",
        "error",
        why="The operating system refuses to read the file or folder, or it is a link to nothing.",
        fix="Check its owner and permissions for the user that runs the engine.",
    ),
    Code(
        "E006",
        "encoding",
        "error",
        why="Files are UTF-8 (a byte order mark is accepted). Guessing another encoding would change texts.",
        fix="Save the file as UTF-8.",
    ),
    Code(
        "E008",
        "file-too-large",
        "error",
        why="A file holds more than 1 MiB. A workspace's files are a few kilobytes: this is a wrong file or a"
        " hostile one, and it is refused before it costs time.",
        fix="Split it: every section may be spread over several files.",
    ),
    Code(
        "E009",
        "file-name",
        "error",
        why="The file's name holds control characters or is not UTF-8, so no message could name it.",
        fix="Rename the file.",
    ),
    Code(
        "E010",
        "yaml-syntax",
        "error",
        why="The text is not YAML from this place on.",
        fix="Look at the marked place and the line before it: an indent, a colon, a quote or a bracket.",
        bad="routes:\n  assistant: [gpt\n  mini: gpt\n",
        good="routes:\n  assistant: gpt\n  mini: gpt\n",
    ),
    Code(
        "E011",
        "tab-indentation",
        "error",
        why="YAML forbids tabs in indentation: how wide they are differs between editors.",
        fix="Indent with spaces, two per level.",
        bad="routes:\n\tassistant: gpt\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E012",
        "forbidden-character",
        "error",
        why="A control character, or an invisible mark that makes text read otherwise than it is written.",
        fix='Remove it. Where it is wanted in a text, write an escape such as "\\u2028" inside double quotes.',
        bad="deployments:\n  gpt: {provider: openai, model: gpt\x07}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt}\n",
    ),
    Code(
        "E013",
        "too-deep",
        "error",
        why="Values are nested more than 64 deep. No route needs that, and it exhausts the stack of a parser.",
        fix="Flatten it: give a part of a route a name under `nodes:` and refer to it.",
    ),
    Code(
        "E014",
        "too-many-values",
        "error",
        why="One file holds more than 100,000 values.",
        fix="Split the file: every section may be spread over several.",
    ),
    Code(
        "E015",
        "duplicate-key",
        "error",
        why="A key stands twice in one map. YAML parsers silently keep the last: half of what is written would"
        " have no effect.",
        fix="Keep one, or give one another name.",
        bad="routes:\n  assistant: gpt\n  assistant: claude\n",
        good="routes:\n  assistant: gpt\n  mini: claude\n",
    ),
    Code(
        "E016",
        "key-not-text",
        "error",
        why="Keys are texts. `404:`, `true:` or `{a}:` are a number, a truth value and a map to YAML.",
        fix="Write the key in quotes.",
        bad="routes:\n  404: gpt\n",
        good="routes:\n  '404': gpt\n",
    ),
    Code(
        "E017",
        "tag",
        "error",
        why="YAML tags (`!x`, `!!python/...`) make a parser build other things than text, numbers, lists and maps.",
        fix="Remove the tag. A text that begins with `!` needs quotes.",
        bad="routes:\n  assistant: !env gpt\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E018",
        "several-documents",
        "error",
        why="`---` begins a second document, and one file holds one.",
        fix="Remove the line, or put what follows into a file of its own.",
        bad="routes:\n  assistant: gpt\n---\nroutes:\n  mini: gpt\n",
        good="---\nroutes:\n  assistant: gpt\n  mini: gpt\n",
    ),
    Code(
        "E019",
        "anchor-misplaced",
        "error",
        why="Anchors are allowed under top-level `x-*` keys only, so that a reader finds what is shared in one place.",
        fix="Define the value under an `x-` key and write `*name` where it is used.",
        bad="routes:\n  a: &same gpt\n  b: *same\n",
        good="x-shared:\n  same: &same gpt\nroutes:\n  a: *same\n  b: *same\n",
    ),
    Code(
        "E020",
        "alias-unknown",
        "error",
        why="`*name` refers to an anchor that is not defined above it, or that it is itself part of.",
        fix="Define `&name` under an `x-` key above. A text that begins with `*` needs quotes.",
        bad="routes:\n  any: {match: {models: [*gpt]}, start: gpt}\n",
        good="routes:\n  any: {match: {models: ['*gpt']}, start: gpt}\n",
    ),
    Code(
        "E021",
        "alias-expansion",
        "error",
        why="Aliases of aliases multiply: a few lines can mean billions of values. At most 100,000 are built.",
        fix="Write out less: `defaults` and named nodes share without copying.",
    ),
    Code(
        "E022",
        "merge-key",
        "error",
        why="`<<` merges maps by rules of its own, which YAML 1.2 dropped. Here one rule merges everything:"
        " `defaults`, overlays and `extends`, nearest wins.",
        fix="Write the keys out, or put what is shared into `defaults`.",
        bad="x-base: &base {provider: openai}\ndeployments:\n  gpt: {<<: *base, model: gpt-5-mini}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\n",
    ),
    Code(
        "E023",
        "thousands-comma",
        "error",
        why="In `{ }` and `[ ]` a comma begins the next entry: `{limit: $5,000}` is a limit of $5 and a key `000`.",
        fix="Write the number without the comma: `$5000`.",
        bad="budgets:\n  month: {limit: $5,000, window: month}\n",
        good="budgets:\n  month: {limit: $5000, window: month}\n",
    ),
    Code(
        "E024",
        "number-range",
        "error",
        why="A number is infinite, not a number, or beyond 64 bits. No setting means such a number.",
        fix="Write a number that is meant, or quotes if it is a text.",
        bad="routes:\n  assistant: {start: gpt, priority: .inf}\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E025",
        "root-type",
        "error",
        why="A file is a map of sections (a file of cases: a list).",
        fix="Write `section:` lines; look for a missing space behind a colon.",
        bad="routes:assistant\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E026",
        "needs-quotes",
        "error",
        why="A value holds or begins with a character that means something to YAML (`: `, ` #`, `[`, `{`, `\"`,"
        " `,` in braces, `%`, `@`), so YAML ends it there.",
        fix="Write the whole value in single quotes.",
        bad='routes:\n  assistant:\n    match: {when: "gold" == key.tags.tier}\n    start: gpt\n',
        good="routes:\n  assistant:\n    match: {when: '\"gold\" == key.tags.tier'}\n    start: gpt\n",
    ),
    Code(
        "E027",
        "duplicate-anchor",
        "error",
        why="Two anchors have one name: which of them an alias means depends on the order of lines.",
        fix="Give one of them another name.",
        bad="x-a: &same gpt\nx-b: &same claude\nroutes:\n  a: *same\n",
        good="x-a: &one gpt\nx-b: &two claude\nroutes:\n  a: *one\n  b: *two\n",
    ),
    Code(
        "E028",
        "key-without-value",
        "error",
        why="In `{ }` a comma begins a new key, and this one has no colon: usually the comma belongs to a text.",
        fix="Give the key a value, or put the text with the comma into single quotes.",
        bad="routes:\n  assistant: {start: gpt, fallback}\n",
        good="routes:\n  assistant: {start: gpt}\n",
    ),
    Code(
        "E150",
        "bad-unit",
        "error",
        why="A time, size, count, amount, share or rate is not written the one way it is read.",
        fix="`30s 1.5s 5m`, `20MiB`, `30k`, `$0.05 $5000`, `80%`, `100/min`, `$2/M`; the message says which.",
        bad="routes:\n  assistant: {start: gpt, per_request: {time: 30}}\n",
        good="routes:\n  assistant: {start: gpt, per_request: {time: 30s}}\n",
    ),
    Code(
        "W001",
        "stray-file",
        "warning",
        why="A YAML file lies where none is read, so what it says has no effect.",
        fix="Move it to `routes/`, `policies/`, `providers.d/`, `envs/NAME/` or `cases/`.",
        bad={"routes.yaml": "routes:\n  assistant: gpt\n"},
        good={"routes/main.yaml": "routes:\n  assistant: gpt\n"},
    ),
    Code(
        "W002",
        "yml-ending",
        "warning",
        why="Only `.yaml` is read: with two endings, two files could claim one name.",
        fix="Rename the file.",
        bad={"routes/main.yml": "routes:\n  assistant: gpt\n"},
        good={"routes/main.yaml": "routes:\n  assistant: gpt\n"},
    ),
    Code(
        "W003",
        "unused-anchor",
        "warning",
        why="An anchor that no alias uses has no effect.",
        fix="Use it, or remove it.",
        bad="x-spare: &spare gpt\nroutes:\n  a: gpt\n",
        good="x-shared: &shared gpt\nroutes:\n  a: *shared\n",
    ),
    Code(
        "W004",
        "empty-environment",
        "warning",
        why="The environment's folder holds no `*.yaml`, so `--env` changes nothing.",
        fix="Put an overlay into it.",
    ),
    Code(
        "N001",
        "default-routes",
        "note",
        why="The folder holds no file of a workspace, so the routes that the engine ships run.",
        fix="Nothing, if that is meant. `engine init DIR` writes a workspace.",
    ),
)
