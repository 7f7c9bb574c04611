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


# --- files of a workspace (compiler/load), YAML (compiler/parse) ----------------------------------------

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
        why="`--env NAME` picks the overlay `envs/NAME/`, and this workspace has no such folder. Going on"
        " without"
        " the overlay would run another plan than the one asked for.",
        fix="Name an environment that exists, or make `envs/NAME/*.yaml`.",
    ),
    Code(
        "E003",
        "outside-workspace",
        "error",
        why="A link leads out of the workspace. Only what lies inside is read, so that a revision means one"
        " set of"
        " files, and a workspace from elsewhere cannot pull in files of this machine.",
        fix="Copy the file or folder into the workspace.",
    ),
    Code(
        "E004",
        "not-a-file",
        "error",
        why="Something that ends in `.yaml` is a folder, a FIFO, a socket or a device. Reading it could"
        " hang.",
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
        "indent-character",
        "error",
        why="A tab, or a character that only looks like a space, stands in the indentation. YAML forbids"
        " both: how"
        " wide a tab is differs between editors.",
        fix="Indent with spaces, two per level.",
        bad="routes:\n\tassistant: gpt\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E012",
        "forbidden-character",
        "error",
        why="A control character, or an invisible mark that makes text read otherwise than it is written.",
        fix='Remove it. Where it is wanted in a text, write an escape like "\\u2028" in double quotes.',
        bad="deployments:\n  gpt: {provider: openai, model: gpt\x07}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt}\n",
    ),
    Code(
        "E013",
        "too-deep",
        "error",
        why="Values are nested more than 64 deep. No route needs that, and it exhausts the stack of a"
        " parser.",
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
        why="A key stands twice in one map. YAML parsers silently keep the last: half of what is written"
        " would"
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
        why="YAML tags (`!x`, `!!python/...`) make a parser build other things than text, numbers, lists"
        " and maps.",
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
        why="Anchors are allowed under top-level `x-*` keys only, so that a reader finds what is shared in"
        " one place.",
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
        why="Aliases of aliases multiply: a few lines can mean billions of values. At most 100,000 are"
        " built.",
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
        why="In `{ }` and `[ ]` a comma begins the next entry: `{limit: $5,000}` is a limit of $5 and a key"
        " `000`.",
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
        why="A value holds or begins with a character that means something to YAML (`: `, ` #`, `[`, `{`,"
        " `\"`,"
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
        why="In `{ }` a comma begins a new key, and this one has no colon: usually the comma belongs to a"
        " text.",
        fix="Give the key a value, or put the text with the comma into single quotes.",
        bad="routes:\n  assistant: {start: gpt, fallback}\n",
        good="routes:\n  assistant: {start: gpt}\n",
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

# --- merging files: names, policies, overlays, `extends` (compiler/merge, overlay, extends) ---------------

#: The smallest `routes/` file: what most examples begin with.
_MAIN = "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n  chat: here\n"

_table(
    Code(
        "E201",
        "defined-twice",
        "error",
        why="One name is defined once, whatever file it stands in. Were the last one to win, the order of"
        " files"
        " would decide what runs.",
        fix="Keep one of them, or rename one. A change for one environment belongs into envs/NAME/.",
        bad={
            "routes/a.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\nroutes:\n  chat:"
            " gpt\n",
            "routes/b.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5}\n",
        },
        good={
            "routes/a.yaml": "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\nroutes:\n  chat:"
            " gpt\n",
            "routes/b.yaml": "deployments:\n  gpt5: {provider: openai, model: gpt-5}\nroutes:\n  big: gpt5\n",
        },
    ),
    Code(
        "E202",
        "policy-section-elsewhere",
        "error",
        why="`require` and `residency` are the floor under every route. A floor that a route's own file"
        " could set"
        " would be none, so they count only from policies/.",
        fix="Move the section to a file in policies/.",
        bad="require:\n  eu: {residency: [eu]}\ndeployments:\n  here: {provider: onnx, model:"
        " smollm2-135m-instruct}\nroutes:\n  chat: here\n",
        good={
            "policies/eu.yaml": "require:\n  eu: {residency: [on_host]}\n",
            "routes/a.yaml": _MAIN,
        },
    ),
    Code(
        "E203",
        "overlay-of-nothing",
        "error",
        why="An overlay changes what exists. A name that does not exist is mostly a typo, and would otherwise"
        " become a second definition that nobody uses.",
        fix="Correct the name, or write `$add: true` beside the new definition.",
        bad={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  hear: {concurrent: 4}\n",
        },
        good={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
        },
    ),
    Code(
        "E204",
        "policy-overlaid",
        "error",
        why="What policies/ define cannot be changed, patched or removed from anywhere else.",
        fix="Change it in the policy file, or give the overlay a definition of its own.",
        bad={
            "policies/floor.yaml": "require:\n  all: {limits: [slow]}\nlimits:\n  slow: {requests: 10/min}\n",
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "limits:\n  slow: {requests: 100/min}\n",
        },
        good={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "routes:\n  chat: {timeout: {total: 30s}}\n",
        },
    ),
    Code(
        "E205",
        "overlaid-twice",
        "error",
        why="Two overlay files of one environment set the same value, and the order of files means nothing.",
        fix="Keep one of them.",
        bad={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
            "envs/prod/b.yaml": "deployments:\n  here: {concurrent: 8}\n",
        },
        good={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: 4}\n",
            "envs/prod/b.yaml": "routes:\n  chat: {timeout: {total: 30s}}\n",
        },
    ),
    Code(
        "E206",
        "shipped-name",
        "error",
        why="A file in providers.d/ has the name of one that the engine ships. Replacing prices, residency"
        " and"
        " wire quirks by accident must not happen in silence.",
        fix="Write `extends: NAME` to patch the shipped file, `replace: true` to replace it, or rename"
        " yours.",
        bad={"providers.d/openai.yaml": "dialect: openai_chat\nbase_url: https://me.example/v1\nauth: none\n"},
        good={"providers.d/openai.yaml": "extends: openai\n"},
    ),
    Code(
        "E207",
        "extends-nothing",
        "error",
        why="`extends` names a file that does not exist, or files extend one another in a circle.",
        fix="Name a provider (or dialect) that exists; `engine providers list` shows them.",
        bad={"providers.d/acme.yaml": "extends: opanai\n"},
        good={
            "providers.d/acme.yaml": "extends: openai\nbase_url: https://api.acme.ai/v1\nresidency: us\n"
            "auth: {bearer: env:ACME_API_KEY}\n"
        },
    ),
    Code(
        "W204",
        "removes-nothing",
        "warning",
        why="`null` in an overlay or an extending file removes a value, and there is none here.",
        fix="Remove the line.",
        bad={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: null}\n",
        },
        good={
            "routes/a.yaml": "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct,"
            " concurrent: 4}\n"
            "routes:\n  chat: here\n",
            "envs/prod/a.yaml": "deployments:\n  here: {concurrent: null}\n",
        },
    ),
    Code(
        "W205",
        "adds-nothing",
        "warning",
        why="`$add: true` allows an overlay new names, and every name beside it exists.",
        fix="Remove it: while it stands there, a typo would pass.",
        bad={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  $add: true\n  here: {concurrent: 4}\n",
        },
        good={
            "routes/a.yaml": _MAIN,
            "envs/prod/a.yaml": "deployments:\n  there: {$add: true, provider: onnx, model:"
            " smollm2-135m-instruct}\nroutes:\n  spare: {$add: true, start: there}\n",
        },
    ),
)

# --- shape: plain data to spec objects (compiler/shape), and what is not built yet (compiler/built) -------

_HERE = "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct}\n"
_ROUTED = _HERE + "routes:\n  chat: here\n"

_table(
    Code(
        "E090",
        "not-built-yet",
        "error",
        why="The language is designed as a whole and built in steps. This part of it is read and checked, "
        "but nothing executes it yet; a plan that left it out in silence would do something else than the "
        "file says.",
        fix="Remove it until it is built; the reference (`docs/language.md`) says what executes.",
        bad=_ROUTED + "budgets:\n  month: {limit: $500, window: month}\n",
        good=_ROUTED,
    ),
    Code(
        "E101",
        "unknown-key",
        "error",
        why="A map holds a key that means nothing there. Passing over it would hide a typing mistake.",
        fix="Write the key that was meant, or remove it.",
        bad=_HERE + "routes:\n  chat: {start: here, per_requst: {calls: 2}}\n",
        good=_HERE + "routes:\n  chat: {start: here, per_request: {calls: 2}}\n",
    ),
    Code(
        "E102",
        "wrong-type",
        "error",
        why="A value is of another type than the key takes. Nothing is converted in silence: `yes` is a "
        "text, not true.",
        fix="Write the value in the form that the message names.",
        bad=_HERE + "routes:\n  chat: {start: {fallback: here}}\n",
        good=_HERE + "routes:\n  chat: {start: {fallback: [here]}}\n",
    ),
    Code(
        "E103",
        "bad-unit",
        "error",
        why="An amount lacks its unit, or has one that is not read. A bare `30` could be seconds or "
        "milliseconds.",
        fix="Write the unit: 30s, 20MiB, 30k, $0.05, 80%, 100/min, $2/M.",
        bad=_HERE + "routes:\n  chat: {start: here, timeout: {total: 30}}\n",
        good=_HERE + "routes:\n  chat: {start: here, timeout: {total: 30s}}\n",
    ),
    Code(
        "E104",
        "unknown-word",
        "error",
        why="The key takes one of a few words, and this is none of them.",
        fix="Write one of the words that the message lists.",
        bad=_HERE + "routes:\n  chat: {start: here, reply_model: request}\n",
        good=_HERE + "routes:\n  chat: {start: here, reply_model: requested}\n",
    ),
    Code(
        "E105",
        "literal-secret",
        "error",
        why="A secret field holds something else than a reference. Files of a workspace go to Git, where a "
        "key in plain text stays for ever. The value is not repeated anywhere: it may be a key.",
        fix="Write env:NAME, file:/path or vault:PATH. If it was a real key, revoke it.",
        bad=_ROUTED + "credentials:\n  mine: {provider: openai, secret: my-own-key}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt-5-mini, credentials: mine}\nroutes:\n  "
        "chat: gpt\ncredentials:\n  mine: {provider: openai, secret: env:OPENAI_API_KEY}\n",
    ),
    Code(
        "E106",
        "template-in-expression",
        "error",
        why="`when`, `per`, `by` and `only` are expressions as they stand. Braces are for templates, which "
        "put values into text, and only provider and dialect files have those.",
        fix="Write the bare expression, in single quotes where it holds `{`, `[`, `: ` or ` #`.",
        bad=_HERE + "routes:\n  chat: {start: {switch: [{when: '{{ request.stream }}', use: here}], else: "
        "here}}\n",
        good=_HERE + "routes:\n  chat: {start: {switch: [{when: request.stream, respond: Not here.}], else: "
        "here}}\n",
    ),
    Code(
        "E107",
        "missing-key",
        "error",
        why="A map lacks a key without which it means nothing.",
        fix="Add the key that the message names.",
        bad="deployments:\n  here: {provider: onnx}\nroutes:\n  chat: here\n",
        good=_ROUTED,
    ),
    Code(
        "E108",
        "no-kind",
        "error",
        why="A node is a name or a map with one kind key (`use`, `fallback`, `switch`, ...), and this "
        "map has none.",
        fix="Write the kind key that was meant.",
        bad=_HERE + "routes:\n  chat: {start: {falback: [here]}}\n",
        good=_HERE + "routes:\n  chat: {start: {fallback: [here]}}\n",
    ),
    Code(
        "E109",
        "two-kinds",
        "error",
        why="A node has one kind, and this map has the keys of two. Which of them holds the other is not "
        "said.",
        fix="Put one of them below the other, or keep one.",
        bad=_HERE + "routes:\n  chat: {start: {fallback: [here], balance: [here]}}\n",
        good=_HERE + "routes:\n  chat: {start: {fallback: [{balance: [here]}]}}\n",
    ),
    Code(
        "E110",
        "misplaced-key",
        "error",
        why="The key exists, and is not read here: nothing would come of it.",
        fix="Move it to where the message says, or remove it.",
        bad=_HERE + "routes:\n  chat: {start: {fallback: [{use: here, weight: 2}]}}\n",
        good=_HERE + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}]}}\n",
    ),
    Code(
        "E111",
        "bad-name",
        "error",
        why="Names are short and plain, so that they can stand in paths, labels of metrics and messages; "
        "those used in expressions are also free of `-`, which is minus there.",
        fix="Use letters, digits, `.`, `_` and `-`; in expressions small letters, digits and `_`.",
        bad="deployments:\n  my model: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n"
        "  chat: {respond: hi}\n",
        good="deployments:\n  my-model: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n"
        "  chat: my-model\n",
    ),
    Code(
        "E112",
        "out-of-range",
        "error",
        why="A number lies outside of what makes sense for its key.",
        fix="Write a number in the range that the message names.",
        bad=_HERE + "routes:\n  chat: {start: here, per_request: {calls: 0}}\n",
        good=_HERE + "routes:\n  chat: {start: here, per_request: {calls: 1}}\n",
    ),
    Code(
        "E113",
        "keys-at-odds",
        "error",
        why="Keys of one map contradict each other, or one of them does nothing beside the other.",
        fix="Keep the one that was meant.",
        bad=_HERE + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}], rank: latency}}\n",
        good=_HERE + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}], rank: weight}}\n",
    ),
    Code(
        "E114",
        "empty-list",
        "error",
        why="A list is empty where at least one entry gives it a meaning.",
        fix="Name an entry, or leave the key out.",
        bad=_HERE + "routes:\n  chat: {start: {fallback: []}}\n",
        good=_HERE + "routes:\n  chat: {start: {fallback: [here]}}\n",
    ),
    Code(
        "E115",
        "secret-in-text",
        "error",
        why="A text holds what a vendor's key looks like. Files of a workspace go to Git, where it stays "
        "for ever.",
        fix="Put it into an environment variable or a file and name that in a secret field. If it is "
        "real, revoke it.",
        bad=_HERE + "routes:\n  chat: {start: {respond: 'AKIA" + "ABCDEFGHIJKLMNOP'}}\n",
        good=_ROUTED,
    ),
)


# --- expressions and templates (compiler/expr) ----------------------------------------------------------


def _route_when(condition: str) -> str:
    """A small routes file whose one `when` is `condition`, as YAML writes it."""
    return (
        "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\n"
        "keys:\n  orgs: [acme]\n  tags:\n    tier: [gold, silver]\n    my_team: {required: false}\n"
        f"routes:\n  assistant:\n    start:\n      switch:\n        - when: {condition}\n"
        "          use: gpt\n      else: gpt\n"
    )


_table(
    Code(
        "E300", "expression-syntax", "error",
        "The text is not an expression: a word or a sign stands where none can, or something is missing.",
        "Read the expression from left to right up to the marked place; put in the operator, value or bracket that "
        "is missing, or remove what is too much.",
        _route_when("key.org =="), _route_when("'key.org == \"acme\"'"),
    ),
    Code(
        "E301", "unknown-name", "error",
        "Expressions know a closed set of names (`request`, `key`, `now`, `weekday`, ...), so that a typo is found "
        "before a request is.",
        "Use one of the names in the message. A text needs quotes: `key.org == \"acme\"`.",
        _route_when("'requst.stream'"), _route_when("'request.stream'"),
    ),
    Code(
        "E302", "unknown-field", "error",
        "The value has no such field; reading it would silently give nothing.",
        "Use one of the fields in the message.",
        _route_when("'request.input_token > 3k'"), _route_when("'request.input_tokens > 3k'"),
    ),
    Code(
        "E303", "undeclared-tag", "error",
        "The workspace declares its client-key tags under `keys.tags`, and this is none of them: no key can have it.",
        "Correct the name, or declare the tag under `keys.tags`.",
        _route_when("'key.tags.teir == \"gold\"'"), _route_when("'key.tags.tier == \"gold\"'"),
    ),
    Code(
        "E304", "unknown-function", "error",
        "There is no filter or test of that name here, or it is given the wrong arguments.",
        "Use one of those in the message, with the arguments it takes.",
        _route_when("'request.model is startswth(\"gpt\")'"), _route_when("'request.model is starts_with(\"gpt\")'"),
    ),
    Code(
        "E305", "wrong-type", "error",
        "The operator or the place needs another type of value: the comparison could never hold, or would mean "
        "something else than it seems to.",
        "Compare texts with texts in quotes and numbers with numbers without.",
        _route_when("'request.input_tokens > \"3k\"'"), _route_when("'request.input_tokens > 3k'"),
    ),
    Code(
        "E306", "adjacent-texts", "error",
        "Two texts stand side by side. Jinja would glue them together, which is nearly always a forgotten comma or "
        "operator.",
        "Put a comma between the elements of a list, or `~` between parts of one text.",
        _route_when("'key.tags.tier in (\"gold\" \"silver\")'"), _route_when("'key.tags.tier in (\"gold\", \"silver\")'"),
    ),
    Code(
        "E307", "value-as-condition", "error",
        "`x == \"a\" or \"b\"` does not ask whether x is a or b: `\"b\"` stands alone, and counts as true.",
        "Write `x in (\"a\", \"b\")`.",
        _route_when("'key.tags.tier == \"gold\" or \"silver\"'"), _route_when("'key.tags.tier in (\"gold\", \"silver\")'"),
    ),
    Code(
        "E308", "single-equals", "error",
        "`=` assigns in other languages; nothing is assigned in an expression.",
        "Write `==` to compare.",
        _route_when("'key.org = \"acme\"'"), _route_when("'key.org == \"acme\"'"),
    ),
    Code(
        "E309", "foreign-operator", "error",
        "`&&`, `||` and `!` are operators of other languages.",
        "Write `and`, `or`, `not`, and `!=` for not equal.",
        _route_when("'request.stream && key.org == \"acme\"'"), _route_when("'request.stream and key.org == \"acme\"'"),
    ),
    Code(
        "E310", "template-in-expression", "error",
        "The value of `when` and its like is an expression as a whole; `{{ }}` and `{% %}` belong to text templates.",
        "Remove the braces. In provider and dialect files an expression inside text is `${{ expr }}`.",
        _route_when("'{# always #} request.stream'"), _route_when("'request.stream'"),
    ),
    Code(
        "E311", "mixed-or", "error",
        "`or` is logic between two conditions, or takes the first text that is not empty; between different types "
        "it would sometimes be one and sometimes the other.",
        "Compare each side, or make both texts.",
        _route_when("'request.stream or key.org'"), _route_when("'request.stream or key.org == \"acme\"'"),
    ),
    Code(
        "E312", "not-callable", "error",
        "Values have no methods, and there are few functions: an expression reads, it does not run code.",
        "Use the filter or test in the message.",
        _route_when("'request.model.startswith(\"gpt\")'"), _route_when("'request.model is starts_with(\"gpt\")'"),
    ),
    Code(
        "E313", "private-name", "error",
        "Names that begin with `_` lead into Python's insides; no declared field has one.",
        "Use a declared field.",
        _route_when("'request.__class__ == \"x\"'"), _route_when("'request.model == \"x\"'"),
    ),
    Code(
        "E314", "too-costly", "error",
        "An expression runs for every request, so what could take long or grow large is not part of the language: "
        "powers, repeated texts, huge numbers, very long or deep expressions.",
        "Write the value itself, or split the expression.",
        _route_when("'request.input_tokens > 9 ** 9'"), _route_when("'request.input_tokens > 300k'"),
    ),
    Code(
        "E315", "bad-pattern", "error",
        "The pattern is none of RE2, which has no look-around and no back-references so that no text can make it slow.",
        "Correct the pattern; express look-around by two tests with `and`/`not`.",
        _route_when("'request.model is matches(\"gpt(?!-4)\")'"),
        _route_when("'request.model is matches(\"^gpt\") and not request.model is matches(\"^gpt-4\")'"),
    ),
    Code(
        "E316", "bad-time", "error",
        "`between` takes two different times of day.",
        "Write them with hours and minutes of a 24-hour clock: `between(\"22:00\", \"06:00\")`.",
        _route_when("'between(\"22:00\", \"25:00\")'"),
        {"engine.yaml": "timezone: Europe/Berlin\n", "routes/main.yaml": _route_when("'between(\"22:00\", \"06:00\")'")},
    ),
    Code(
        "E317", "hyphen-in-name", "error",
        "`-` is minus: `key.tags.my-team` takes `team` away from `key.tags.my`.",
        "Name it with `_` where it is declared and here.",
        _route_when("'key.tags.my-team == \"a\"'"), _route_when("'key.tags.my_team == \"a\"'"),
    ),
    Code(
        "E318", "no-condition", "error",
        "A condition is true or false; this value is neither.",
        "Compare it with something.",
        _route_when("request.input_tokens"), _route_when("request.input_tokens > 3k"),
    ),
    Code(
        "E319", "name-elsewhere", "error",
        "The name exists, but has no value at this place.",
        "Move the expression to where the message says, or ask something else.",
        _route_when("'label.task == \"code\"'"), _route_when("'request.text is matches(\"```\")'"),
    ),
    Code(
        "E320", "not-in-language", "error",
        "This part of Jinja is not in the language: expressions here read, compare and choose.",
        "Write it with what the message names.",
        _route_when("'1k < request.input_tokens < 3k'"),
        _route_when("'request.input_tokens > 1k and request.input_tokens < 3k'"),
    ),
    Code(
        "E321", "cut-by-yaml", "error",
        "In a YAML value without quotes, ` #` begins a comment: the rest of the expression was cut off.",
        "Put the whole expression in single quotes; the message shows the line.",
        _route_when("key.name == #1"), _route_when("'key.name == \"#1\"'"),
    ),
    Code(
        "E322", "impossible-value", "error",
        "The value is compared with a word that it can never be.",
        "Use one of the words in the message, or declare the new one.",
        _route_when("'key.tags.tier == \"glod\"'"), _route_when("'key.tags.tier == \"gold\"'"),
    ),
    Code(
        "E330", "unknown-directive", "error",
        "Keys that begin with `$` are directives, and there is none of this name.",
        "Correct it; a key that really begins with `$` is written with two: `$$ref`.",
    ),
    Code(
        "E331", "bad-directive", "error",
        "The directive lacks a part, has one too many, or a part is not what it can be.",
        "Write it as the message says.",
    ),
    Code(
        "E332", "bad-block", "error",
        "`$use` names a block that does not exist, or one that would contain itself.",
        "Use one of the names under `blocks`, and break the circle.",
    ),
    Code(
        "E333", "template-too-large", "error",
        "The template is beyond the limits of size, depth or loops: it is compiled to code that runs for every request.",
        "Split it, or let it do less.",
    ),
    Code(
        "E334", "unclosed-expression", "error",
        "`${{` begins an expression that never ends.",
        "Close it with `}}`; a literal `${{` stands in `{$literal: ...}`.",
    ),
    Code(
        "E335", "unsafe-header", "error",
        "A line break or NUL in a header's value would begin another header.",
        "Remove it.",
    ),
    Code(
        "E336", "unknown-canonical-field", "error",
        "The template makes a canonical value, and that has no such field: nothing would ever read it.",
        "Use one of the fields in the message, or put it under `provider_data`.",
    ),
)


# --- dialects and providers (compiler/lower_dialect, compiler/lower_provider, spec/provider) -------------

_table(
    Code(
        "E400",
        "no-dialect",
        "error",
        why="A provider file does not say which wire format is spoken there.",
        fix="Write `dialect: openai_chat`, or another name out of `providers.d/dialects/`.",
    ),
    Code(
        "E401",
        "unknown-dialect",
        "error",
        why="A provider file names a wire format that neither the workspace nor the engine has.",
        fix="Name one that exists, or write `providers.d/dialects/NAME.yaml`.",
    ),
    Code(
        "E402",
        "where-it-runs",
        "error",
        why="A provider file says nowhere, or twice, where the provider runs.",
        fix="Write either `base_url` or `regions`.",
    ),
    Code(
        "E403",
        "plain-http",
        "error",
        why="Prompts and keys would travel unencrypted over a public network.",
        fix="Use https. Plain http is for loopback and private addresses.",
    ),
    Code(
        "E404",
        "unknown-region",
        "error",
        why="A region is named that the provider file does not list.",
        fix="Name a listed one, or list it with its address and residency.",
    ),
    Code(
        "E406",
        "bad-regular-expression",
        "error",
        why="Patterns run in RE2, whose time is linear in the text; what it cannot promise that for it does not take.",
        fix="Write it without look-around and back-references.",
    ),
    Code(
        "E407",
        "which-auth",
        "error",
        why="`auth` names no scheme, or several, so it is not known how a call shows its key.",
        fix="Write one: `bearer: env:NAME`, `header: {...}`, `query: {...}`, or `auth: none`.",
    ),
    Code(
        "E408",
        "bad-shape",
        "error",
        why="The `check` of a dialect's request is not a shape.",
        fix="A shape is a type word (text integer number flag map list any) or a map of type, required, values, min,"
        " max, fields, items, by, cases, any_of.",
    ),
    Code(
        "E409",
        "half-an-ingress",
        "error",
        why="A dialect is offered to clients although their requests cannot be read or their answers not written.",
        fix="Write `request.read` and `response.write`, or leave `ingress` out.",
    ),
    Code(
        "E410",
        "undeclared-state",
        "error",
        why="A stream rule sets state that is not declared, which is mostly a typo.",
        fix="Declare it under `state` with its first value.",
    ),
)


# --- a running sidecar (control/reload) ------------------------------------------------------------------

_table(
    Code(
        "E500",
        "compile-failed",
        "error",
        why="The process that compiles could not be started, died or took over a minute, so nothing is known about"
        " the workspace. The plan that ran before runs on.",
        fix="Run `engine validate` there; the sidecar's stderr holds what the compiler printed.",
    ),
    Code(
        "E501",
        "address-changed",
        "error",
        why="`listen`, `admin` and `probes` are bound when the process starts. A reload that changed one of them and"
        " took the rest would run half of what the files say, so it is refused whole.",
        fix="Restart the process, or put the address back.",
    ),
    Code(
        "E502",
        "provision-failed",
        "error",
        why="The plan compiles, but this process cannot run it: an upstream or a local model cannot be set up.",
        fix="The message says what is missing here.",
    ),
)
# --- names, deployments (compiler/resolve, lower_deployment), checks (compiler/checks) ------------------

_HERE = "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct}\n"
_TWO = _HERE + "  there: {provider: onnx, model: smollm2-135m-instruct, threads: 2}\n"
#: A vendor with two regions, as a workspace's own file; the examples below use it.
_ACME = (
    "dialect: openai_chat\nauth: {bearer: env:ACME_API_KEY}\nregions:\n"
    "  us: {base_url: 'https://api.acme.ai/v1', residency: us}\n"
    "  eu: {base_url: 'https://eu.acme.ai/v1', residency: eu}\ndefault_region: us\ndrop: [logit_bias]\n"
    "models:\n  large: {context: 128k, output: 8k, can: [tools]}\n"
    "  small: {context: 8k, output: 1k, can: []}\n"
)


def _with_acme(routes: str, **files: str) -> dict[str, str]:
    named = {path.replace("__", "/") + ".yaml": text for path, text in files.items()}
    return {"providers.d/acme.yaml": _ACME, "routes/main.yaml": routes, **named}


_table(
    Code(
        "E210",
        "unknown-name",
        "error",
        why="A name is used that nothing is called by. It is mostly a typo, or the definition was removed.",
        fix="Correct the name, or define it. Routes cannot be used as nodes: name what their `start` names.",
        bad=_HERE + "routes:\n  chat: hear\n",
        good=_HERE + "routes:\n  chat: here\n",
    ),
    Code(
        "E211",
        "name-of-two",
        "error",
        why="A deployment and a node have the same name. `use` names either, so it would mean two things.",
        fix="Rename one of them.",
        bad=_HERE + "nodes:\n  here: {respond: Closed.}\nroutes:\n  chat: here\n",
        good=_HERE
        + "nodes:\n  closed: {respond: Closed.}\nroutes:\n  chat: {start: {fallback: [here, closed]}}\n",
    ),
    Code(
        "E212",
        "cycle",
        "error",
        why="A node leads back to itself, so a request could walk forever. A route graph has no loops.",
        fix="Remove one of the uses, or use a deployment instead.",
        bad=_HERE + "nodes:\n  a: {fallback: [here, b]}\n  b: {use: a}\nroutes:\n  chat: a\n",
        good=_TWO + "nodes:\n  a: {fallback: [here, b]}\n  b: {use: there}\nroutes:\n  chat: a\n",
    ),
    Code(
        "E213",
        "unknown-provider",
        "error",
        why="A deployment, a credential or a policy's `residency` names a provider that is no file in "
        "providers.d/.",
        fix="Correct the name (`engine providers list` shows the shipped ones), or add "
        "providers.d/NAME.yaml.",
        bad="deployments:\n  here: {provider: onyx, model: smollm2-135m-instruct}\nroutes:\n  chat: here\n",
        good=_HERE + "routes:\n  chat: here\n",
    ),
    Code(
        "E214",
        "foreign-credential",
        "error",
        why="A deployment would show one vendor's credential to another.",
        fix="Name a credential of the deployment's own provider.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: other}\n"
            "credentials:\n  other: {provider: onnx, secret: env:OTHER_KEY}\nroutes:\n  chat: big\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "credentials:\n  mine: {provider: acme, secret: env:MY_KEY}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E215",
        "unknown-model",
        "error",
        why="A group or a policy allows a model that no route takes, so it allows nothing.",
        fix="Write a name that clients ask for: a route's name, or one of its `match.models`.",
        bad=_HERE + "routes:\n  chat: here\ngroups:\n  ci: {models: [chatt]}\n",
        good=_HERE + "routes:\n  chat: here\ngroups:\n  ci: {models: [chat]}\n",
    ),
    Code(
        "E216",
        "undeclared-key",
        "error",
        why="A client key carries an organisation or a tag that is not declared.",
        fix="Declare it under `keys`, or correct the client key.",
        bad=_HERE + "routes:\n  chat: here\nkeys:\n  orgs: [acme]\n  clients:\n"
        '    bot: {hash: "hmac-sha256:5f1c", org: acne}\n',
        good=_HERE + "routes:\n  chat: here\nkeys:\n  orgs: [acme]\n  clients:\n"
        '    bot: {hash: "hmac-sha256:5f1c", org: acme}\n',
    ),
    Code(
        "W246",
        "key-lacks-tag",
        "warning",
        why="A client key lacks a tag that every key must carry, so each of its requests is refused with 403.",
        fix="Give it the tag.",
        bad=_HERE + "routes:\n  chat: here\nkeys:\n  tags:\n    team: {required: true}\n  clients:\n"
        '    bot: {hash: "hmac-sha256:5f1c"}\n',
        good=_HERE + "routes:\n  chat: here\nkeys:\n  tags:\n    team: {required: true}\n  clients:\n"
        '    bot: {hash: "hmac-sha256:5f1c", tags: {team: a}}\n',
    ),
    Code(
        "E217",
        "unknown-region",
        "error",
        why="The provider has no such region, or it has several and the deployment names none.",
        fix="Name one of the provider's regions.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: ue}\nroutes:\n  chat: big\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E218",
        "model-not-listed",
        "error",
        why="The provider file lists its models and this is none of them, so nothing is known of its context,"
        " its price and what it can do.",
        fix="Correct the name, or add the model in providers.d/ with `extends`.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: lage, region: eu}\nroutes:\n  chat: big\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E219",
        "no-credential",
        "error",
        why="The provider asks for a credential, its file names none by default, and the deployment has "
        "none.",
        fix="Define a credential and name it in the deployment's `credentials`.",
        bad={
            "providers.d/acme.yaml": "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\n"
            "auth: {header: {name: x-api-key}}\n",
            "routes/main.yaml": "deployments:\n  big: {provider: acme, model: large}\nroutes:\n  chat: big\n",
        },
        good={
            "providers.d/acme.yaml": "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\n"
            "auth: {header: {name: x-api-key}}\n",
            "routes/main.yaml": "deployments:\n  big: {provider: acme, model: large, credentials: mine}\n"
            "credentials:\n  mine: {provider: acme, secret: env:ACME_KEY}\nroutes:\n  chat: big\n",
        },
    ),
    Code(
        "E220",
        "ambiguous-match",
        "error",
        why="Two routes take the same model by the same pattern, and a request can meet the conditions of "
        "both. Which"
        " one serves would depend on the order of files.",
        fix="Give them other names in `match.models`, or a `match.when` each that excludes the other.",
        bad=_HERE
        + "routes:\n  a: {match: {models: [chat]}, start: here}\n"
        "  b: {match: {models: [chat]}, start: here}\n",
        good=_HERE
        + "routes:\n  a: {match: {models: [chat], when: request.stream}, start: here}\n"
        + "  b: {match: {models: [chat], when: not request.stream}, start: here}\n",
    ),
    Code(
        "W221",
        "listed-twice",
        "warning",
        why="A list of models names one twice; the second changes nothing.",
        fix="Remove one.",
        bad=_HERE + "routes:\n  a: {match: {models: [chat, chat]}, start: here}\n",
        good=_HERE + "routes:\n  a: {match: {models: [chat, talk]}, start: here}\n",
    ),
    Code(
        "W222",
        "unused",
        "warning",
        why="No route leads to a deployment or node, or no deployment uses a credential. It is mostly a typo"
        " somewhere else, or the rest of an old route.",
        fix="Use it, or remove it. It is not part of the plan.",
        bad=_TWO + "routes:\n  chat: here\n",
        good=_TWO + "routes:\n  chat: {start: {fallback: [here, there]}}\n",
    ),
    Code(
        "W223",
        "unreachable-branch",
        "warning",
        why="No request can come to a branch: its condition never holds, or an earlier branch takes all "
        "that meet it,"
        " or what stands before it always answers.",
        fix="Remove it, or put it before the branch that takes its requests.",
        bad=_TWO
        + "routes:\n  chat:\n    start:\n      switch:\n"
        "        - {when: request.input_tokens > 1k, use: here}\n"
        + "        - {when: request.input_tokens > 4k, use: there}\n      else: there\n",
        good=_TWO
        + "routes:\n  chat:\n    start:\n      switch:\n"
        "        - {when: request.input_tokens > 4k, use: there}\n"
        + "        - {when: request.input_tokens > 1k, use: here}\n      else: there\n",
    ),
    Code(
        "E224",
        "residency",
        "error",
        why="A route has a residency, and one of its targets may process data elsewhere, or nobody knows "
        "where."
        " Under a policy, only the policies' own `residency:` counts for providers of the workspace.",
        fix="Take a region that is allowed, another target, or allow the place.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n"
            "  chat: {residency: [eu], start: big}\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {residency: [eu], start: big}\n"
        ),
    ),
    Code(
        "E225",
        "region-not-named",
        "error",
        why="A residency applies to a deployment that takes its provider's default region. The default is "
        "allowed"
        " now, and a new version of the provider file may change it.",
        fix="Write the region on the deployment.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: large}\nroutes:\n"
            "  chat: {residency: [us], start: big}\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n"
            "  chat: {residency: [us], start: big}\n"
        ),
    ),
    Code(
        "N226",
        "default-region",
        "note",
        why="A deployment runs in its provider's default region, because it names none.",
        fix="Nothing, if that is meant; name the region to keep it.",
        bad=_with_acme("deployments:\n  big: {provider: acme, model: large}\nroutes:\n  chat: big\n"),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E227",
        "looser-than-policy",
        "error",
        why="A route allows more than a policy does. Routes have the floor without writing it; what they "
        "write may"
        " only be stricter.",
        fix="Allow at most what the policy does, or leave it out.",
        bad={
            "policies/floor.yaml": "require:\n  home: {residency: [on_host]}\n",
            "routes/main.yaml": _HERE + "routes:\n  chat: {residency: [on_host, us], start: here}\n",
        },
        good={
            "policies/floor.yaml": "require:\n  home: {residency: [on_host]}\n",
            "routes/main.yaml": _HERE + "routes:\n  chat: {residency: [on_host], start: here}\n",
        },
    ),
    Code(
        "E228",
        "capability-gap",
        "error",
        why="`admit` lets requests in that no target of a branch can serve, so they would all fail there.",
        fix="Add a target that can, lead such requests elsewhere with a `switch`, or lower `admit`.",
        bad=_with_acme(
            "deployments:\n  low: {provider: acme, model: small, region: eu}\nroutes:\n"
            "  chat: {admit: {tools: true}, start: low}\n"
        ),
        good=_with_acme(
            "deployments:\n  low: {provider: acme, model: small, region: eu}\n"
            "  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat:\n    admit: {tools: true}\n    start:\n      switch:\n"
            "        - {when: 'request.has(\"tools\")', use: big}\n      else: low\n"
        ),
    ),
    Code(
        "W229",
        "calls-below-chain",
        "warning",
        why="`per_request.calls` is smaller than the longest chain of targets: when the others fail, the "
        "last is"
        " never asked.",
        fix="Allow as many calls as the chain has targets, or drop a target.",
        bad=_TWO + "routes:\n  chat: {per_request: {calls: 1}, start: {fallback: [here, there]}}\n",
        good=_TWO + "routes:\n  chat: {per_request: {calls: 2}, start: {fallback: [here, there]}}\n",
    ),
    Code(
        "N230",
        "state-in-memory",
        "note",
        why="Budgets, limits and health are kept in memory, so a restart begins from zero, and hosts do not "
        "share"
        " them. Durable stores are not built yet.",
        fix="Nothing to do now.",
    ),
    Code(
        "E231",
        "open-to-all",
        "error",
        why="The sidecar would listen where others can reach it, with no client key to ask for.",
        fix="Listen on 127.0.0.1 (behind a proxy that asks who it is), or define client keys.",
        bad={"engine.yaml": "listen: 0.0.0.0:8080\n", "routes/main.yaml": _HERE + "routes:\n  chat: here\n"},
        good={
            "engine.yaml": "listen: 127.0.0.1:8080\n",
            "routes/main.yaml": _HERE + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E232",
        "admin-open-to-all",
        "error",
        why="/admin would be served where others can reach it, with no key.",
        fix="Add `admin_key`, or listen on 127.0.0.1.",
        bad={"engine.yaml": "admin: 0.0.0.0:8081\n", "routes/main.yaml": _HERE + "routes:\n  chat: here\n"},
        good={
            "engine.yaml": "admin: 0.0.0.0:8081\nadmin_key: env:ENGINE_ADMIN_KEY\n",
            "routes/main.yaml": _HERE + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E233",
        "no-timezone",
        "error",
        why="An expression reads the clock, and without a time zone `08:00` would be another hour on each "
        "machine.",
        fix="Write `timezone:` in engine.yaml, like `timezone: Europe/Berlin`.",
        bad=_TWO + "routes:\n  chat:\n    start:\n      switch:\n"
        '        - {when: \'between("07:00", "20:00")\', use: here}\n      else: there\n',
        good={
            "engine.yaml": "timezone: Europe/Berlin\n",
            "routes/main.yaml": _TWO + "routes:\n  chat:\n    start:\n      switch:\n"
            '        - {when: \'between("07:00", "20:00")\', use: here}\n      else: there\n',
        },
    ),
    Code(
        "W234",
        "one-member",
        "warning",
        why="A fallback or balance of one member is that member.",
        fix="Name another member, or use this one directly.",
        bad=_HERE + "routes:\n  chat: {start: {balance: [here]}}\n",
        good=_TWO + "routes:\n  chat: {start: {balance: [here, there]}}\n",
    ),
    Code(
        "W235",
        "same-member-twice",
        "warning",
        why="A chain or balance names the same target twice with the same options.",
        fix="Remove one; more calls to one target are `retry`, a larger share is `weight`.",
        bad=_HERE + "routes:\n  chat: {start: {fallback: [here, here]}}\n",
        good=_TWO + "routes:\n  chat: {start: {fallback: [here, there]}}\n",
    ),
    Code(
        "W236",
        "never-retried",
        "warning",
        why="`retry.failures` names a class after which the same target is never asked again: it would fail "
        "the same"
        " way. Retried in place are `connect`, `server`, `cut`, `rate_limited`, and `timeout` and "
        "`overloaded` where"
        " they are named.",
        fix="Remove it; `failures` says what moves on to the next target.",
        bad=_HERE + "routes:\n  chat: {start: {use: here, retry: {extra: 1, failures: [auth]}}}\n",
        good=_HERE + "routes:\n  chat: {start: {use: here, retry: {extra: 1, failures: [connect]}}}\n",
    ),
    Code(
        "W237",
        "timeout-never-binds",
        "warning",
        why="A timeout can never end a call, because a shorter one that runs at the same time always does "
        "before.",
        fix="Make it shorter than the other, or remove it.",
        bad=_HERE + "routes:\n  chat: {timeout: {first_token: 60s, total: 30s}, start: here}\n",
        good=_HERE + "routes:\n  chat: {timeout: {first_token: 10s, total: 30s}, start: here}\n",
    ),
    Code(
        "W238",
        "param-dropped",
        "warning",
        why="A target sets a parameter that its provider does not take: it is left out of every call.",
        fix="Remove it, or use another target.",
        bad=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {start: {use: big, params: {logit_bias: {}}}}\n"
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {start: {use: big, params: {temperature: 0}}}\n"
        ),
    ),
    Code(
        "E239",
        "policy-reaches-out",
        "error",
        why="What a policy names or leads to is defined outside of policies/, where anybody may change it.",
        fix="Define it in policies/, too.",
        bad={
            "policies/floor.yaml": "routes:\n  safe: here\n",
            "routes/main.yaml": _HERE + "routes:\n  chat: here\n",
        },
        good={
            "policies/floor.yaml": _HERE + "routes:\n  safe: here\n",
            "routes/main.yaml": "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E240",
        "policy-secret",
        "error",
        why="A credential outside of policies/ names a secret that a policies' credential holds, and so "
        "would show it"
        " without that credential's conditions.",
        fix="Use the policies' credential, or another secret.",
        bad=_with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:ACME_KEY}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n",
            policies__keys="credentials:\n  safe: {provider: acme, secret: env:ACME_KEY}\n",
        ),
        good=_with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: safe}\nroutes:\n"
            "  chat: big\n",
            policies__keys="credentials:\n  safe: {provider: acme, secret: env:ACME_KEY}\n",
        ),
    ),
    Code(
        "W241",
        "no-route",
        "warning",
        why="The workspace has no route, so every request will be answered with 404.",
        fix="Add one: `routes: {assistant: NAME_OF_A_DEPLOYMENT}`.",
        bad=_HERE,
        good=_HERE + "routes:\n  chat: here\n",
    ),
    Code(
        "E242",
        "only-reads-request",
        "error",
        why="`only` on a credential decides by whose request it is, and reads `key.*` only.",
        fix="Put what the request holds into a `switch`.",
        bad=_with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: request.stream}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n"
        ),
        good=_with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.org == \"acme\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  orgs: [acme]\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E243",
        "tag-not-required",
        "error",
        why="`only` reads a tag that a client key may lack. A key without it would meet the condition, or "
        "fail it, by"
        " accident.",
        fix="Declare the tag with `required: true`.",
        bad=_with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.tags.team == \"a\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  tags:\n    team: [a, b]\nroutes:\n  chat: big\n"
        ),
        good=_with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.tags.team == \"a\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  tags:\n    team: {values: [a, b], required: true}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E245",
        "graph-too-large",
        "error",
        why="A named node stands in a route's tree wherever it is used, so nodes that use one another several times"
        " multiply. A tree of more than 10,000 nodes or 100 levels is refused before it is built.",
        fix="Use named nodes at fewer places.",
        bad=_HERE
        + "nodes:\n"
        + "".join(f"  n{i}: {{fallback: [n{i + 1}, n{i + 1}]}}\n" for i in range(40))
        + "  n40: here\nroutes:\n  chat: n0\n",
        good=_HERE + "nodes:\n  n0: n1\n  n1: here\nroutes:\n  chat: n0\n",
    ),
    Code(
        "E244",
        "secret-missing",
        "error",
        why="`--secrets` was asked for, and a secret that the plan needs cannot be read on this machine.",
        fix="Set the environment variable, or put the file where the credential says.",
    ),
)
