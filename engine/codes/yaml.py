"""YAML text to plain data (`compiler/prescan`, `syntax`, `parse`, `anchors`)."""

from __future__ import annotations

from engine.codes.code import Code

CODES = (
    Code(
        "E010",
        "yaml-syntax",
        why="The text is not YAML from this place on.",
        fix="Look at the marked place and the line before it: an indent, a colon, a quote or a bracket.",
        bad="routes:\n  assistant: [gpt\n  mini: gpt\n",
        good="routes:\n  assistant: gpt\n  mini: gpt\n",
    ),
    Code(
        "E011",
        "indent-character",
        why="A tab, or a character that only looks like a space, stands in the indentation. YAML forbids "
        "both: how wide a tab is differs between editors.",
        fix="Indent with spaces, two per level.",
        bad="routes:\n\tassistant: gpt\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E012",
        "forbidden-character",
        why="A control character, or an invisible mark that makes text read otherwise than it is written.",
        fix='Remove it. Where it is wanted in a text, write an escape like "\\u2028" in double quotes.',
        bad="deployments:\n  gpt: {provider: openai, model: gpt\x07}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt}\n",
    ),
    Code(
        "E013",
        "too-deep",
        why="Values are nested more than 64 deep. No route needs that, and it exhausts the stack of a "
        "parser.",
        fix="Flatten it: give a part of a route a name under `nodes:` and refer to it.",
    ),
    Code(
        "E014",
        "too-many-values",
        why="One file holds more than 100,000 values.",
        fix="Split the file: every section may be spread over several.",
    ),
    Code(
        "E015",
        "duplicate-key",
        why="A key stands twice in one map. YAML parsers silently keep the last: half of what is written "
        "would have no effect.",
        fix="Keep one, or give one another name.",
        bad="routes:\n  assistant: gpt\n  assistant: claude\n",
        good="routes:\n  assistant: gpt\n  mini: claude\n",
    ),
    Code(
        "E016",
        "key-not-text",
        why="Keys are texts. `404:`, `true:` or `{a}:` are a number, a truth value and a map to YAML.",
        fix="Write the key in quotes.",
        bad="routes:\n  404: gpt\n",
        good="routes:\n  '404': gpt\n",
    ),
    Code(
        "E017",
        "tag",
        why="YAML tags (`!x`, `!!python/...`) make a parser build other things than text, numbers, lists "
        "and maps.",
        fix="Remove the tag. A text that begins with `!` needs quotes.",
        bad="routes:\n  assistant: !env gpt\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E018",
        "several-documents",
        why="`---` begins a second document, and one file holds one.",
        fix="Remove the line, or put what follows into a file of its own.",
        bad="routes:\n  assistant: gpt\n---\nroutes:\n  mini: gpt\n",
        good="---\nroutes:\n  assistant: gpt\n  mini: gpt\n",
    ),
    Code(
        "E019",
        "anchor-misplaced",
        why="Anchors are allowed under top-level `x-*` keys only, so that a reader finds what is shared "
        "in one place.",
        fix="Define the value under an `x-` key and write `*name` where it is used.",
        bad="routes:\n  a: &same gpt\n  b: *same\n",
        good="x-shared:\n  same: &same gpt\nroutes:\n  a: *same\n  b: *same\n",
    ),
    Code(
        "E020",
        "alias-unknown",
        why="`*name` refers to an anchor that is not defined above it, or that it is itself part of.",
        fix="Define `&name` under an `x-` key above. A text that begins with `*` needs quotes.",
        bad="routes:\n  any: {match: {models: [*gpt]}, start: gpt}\n",
        good="routes:\n  any: {match: {models: ['*gpt']}, start: gpt}\n",
    ),
    Code(
        "E021",
        "alias-expansion",
        why="Aliases of aliases multiply: a few lines can mean billions of values. At most 100,000 are "
        "built.",
        fix="Write out less: `defaults` and named nodes share without copying.",
    ),
    Code(
        "E022",
        "merge-key",
        why="`<<` merges maps by rules of its own, which YAML 1.2 dropped. Here one rule merges "
        "everything: `defaults`, overlays and `extends`, nearest wins.",
        fix="Write the keys out, or put what is shared into `defaults`.",
        bad="x-base: &base {provider: openai}\ndeployments:\n  gpt: {<<: *base, model: gpt-5-mini}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\n",
    ),
    Code(
        "E023",
        "thousands-comma",
        why="In `{ }` and `[ ]` a comma begins the next entry: `{limit: $5,000}` is a limit of $5 and a "
        "key `000`.",
        fix="Write the number without the comma: `$5000`.",
        bad="budgets:\n  month: {limit: $5,000, window: month}\n",
        good="budgets:\n  month: {limit: $5000, window: month}\n",
    ),
    Code(
        "E024",
        "number-range",
        why="A number is infinite, not a number, or beyond 64 bits. No setting means such a number.",
        fix="Write a number that is meant, or quotes if it is a text.",
        bad="routes:\n  assistant: {start: gpt, priority: .inf}\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E025",
        "root-type",
        why="A file is a map of sections (a file of cases: a list).",
        fix="Write `section:` lines; look for a missing space behind a colon.",
        bad="routes:assistant\n",
        good="routes:\n  assistant: gpt\n",
    ),
    Code(
        "E026",
        "needs-quotes",
        why="A value holds or begins with a character that means something to YAML (`: `, ` #`, `[`, `{`, "
        '`"`, `,` in braces, `%`, `@`), so YAML ends it there.',
        fix="Write the whole value in single quotes.",
        bad='routes:\n  assistant:\n    match: {when: "gold" == key.tags.tier}\n    start: gpt\n',
        good="routes:\n  assistant:\n    match: {when: '\"gold\" == key.tags.tier'}\n    start: gpt\n",
    ),
    Code(
        "E027",
        "duplicate-anchor",
        why="Two anchors have one name: which of them an alias means depends on the order of lines.",
        fix="Give one of them another name.",
        bad="x-a: &same gpt\nx-b: &same claude\nroutes:\n  a: *same\n",
        good="x-a: &one gpt\nx-b: &two claude\nroutes:\n  a: *one\n  b: *two\n",
    ),
    Code(
        "E028",
        "key-without-value",
        why="In `{ }` a comma begins a new key, and this one has no colon: usually the comma belongs to a "
        "text.",
        fix="Give the key a value, or put the text with the comma into single quotes.",
        bad="routes:\n  assistant: {start: gpt, fallback}\n",
        good="routes:\n  assistant: {start: gpt}\n",
    ),
    Code(
        "W003",
        "unused-anchor",
        why="An anchor that no alias uses has no effect.",
        fix="Use it, or remove it.",
        bad="x-spare: &spare gpt\nroutes:\n  a: gpt\n",
        good="x-shared: &shared gpt\nroutes:\n  a: *shared\n",
    ),
)
