"""Plain data to the language's values (`compiler/shape`, `spec/`), and what is not built yet (`built`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HERE, ROUTED, TWO

CODES = (
    Code(
        "E090",
        "not-built-yet",
        why="The language is designed as a whole and built in steps. This part of it is read and checked, "
        "but nothing executes it yet; a plan that left it out in silence would do something else than "
        "the file says.",
        fix="Remove it until it is built; the reference (`docs/language.md`) says what executes.",
        bad=ROUTED + "guards:\n  mails: {detect: [email], in: [request], action: mask}\n",
        good=ROUTED,
    ),
    Code(
        "E101",
        "unknown-key",
        why="A map holds a key that means nothing there. Passing over it would hide a typing mistake.",
        fix="Write the key that was meant, or remove it.",
        bad=HERE + "routes:\n  chat: {start: here, per_requst: {calls: 2}}\n",
        good=HERE + "routes:\n  chat: {start: here, per_request: {calls: 2}}\n",
    ),
    Code(
        "E102",
        "wrong-type",
        why="A value is of another type than the key takes. Nothing is converted in silence: `yes` is a "
        "text, not true.",
        fix="Write the value in the form that the message names.",
        bad=HERE + "routes:\n  chat: {start: {fallback: here}}\n",
        good=HERE + "routes:\n  chat: {start: {fallback: [here, {respond: Sorry.}]}}\n",
    ),
    Code(
        "E103",
        "bad-unit",
        why="An amount lacks its unit, or has one that is not read. A bare `30` could be seconds or "
        "milliseconds.",
        fix="Write the unit: 30s, 20MiB, 30k, $0.05, 80%, 100/min, $2/M.",
        bad=HERE + "routes:\n  chat: {start: here, timeout: {total: 30}}\n",
        good=HERE + "routes:\n  chat: {start: here, timeout: {total: 30s}}\n",
    ),
    Code(
        "E104",
        "unknown-word",
        why="The key takes one of a few words, and this is none of them.",
        fix="Write one of the words that the message lists.",
        bad=HERE + "routes:\n  chat: {start: here, reply_model: request}\n",
        good=HERE + "routes:\n  chat: {start: here, reply_model: requested}\n",
    ),
    Code(
        "E105",
        "literal-secret",
        why="A secret field holds something else than a reference. Files of a workspace go to Git, where "
        "a key in plain text stays for ever. The value is not repeated anywhere: it may be a key.",
        fix="Write env:NAME, file:/path or vault:PATH. If it was a real key, revoke it.",
        bad=ROUTED + "credentials:\n  mine: {provider: openai, secret: my-own-key}\n",
        good="deployments:\n  gpt: {provider: openai, model: gpt-5-mini, credentials: mine}\nroutes:\n  "
        "chat: gpt\ncredentials:\n  mine: {provider: openai, secret: env:OPENAI_API_KEY}\n",
    ),
    Code(
        "E106",
        "template-in-expression",
        why="`when`, `per`, `by` and `only` are expressions as they stand. Braces are for templates, "
        "which put values into text, and only provider and dialect files have those.",
        fix="Write the bare expression, in single quotes where it holds `{`, `[`, `: ` or ` #`.",
        bad=HERE + "routes:\n  chat: {start: {switch: [{when: '{{ request.stream }}', use: here}], else: "
        "here}}\n",
        good=HERE + "routes:\n  chat: {start: {switch: [{when: request.stream, respond: Not here.}], else: "
        "here}}\n",
    ),
    Code(
        "E107",
        "missing-key",
        why="A map lacks a key without which it means nothing.",
        fix="Add the key that the message names.",
        bad="deployments:\n  here: {provider: onnx}\nroutes:\n  chat: here\n",
        good=ROUTED,
    ),
    Code(
        "E108",
        "no-kind",
        why="A node is a name or a map with one kind key (`use`, `fallback`, `switch`, ...), and this map "
        "has none.",
        fix="Write the kind key that was meant.",
        bad=HERE + "routes:\n  chat: {start: {falback: [here]}}\n",
        good=HERE + "routes:\n  chat: {start: {fallback: [here, {respond: Sorry.}]}}\n",
    ),
    Code(
        "E109",
        "two-kinds",
        why="A node has one kind, and this map has the keys of two. Which of them holds the other is not "
        "said.",
        fix="Put one of them below the other, or keep one.",
        bad=HERE + "routes:\n  chat: {start: {fallback: [here], balance: [here]}}\n",
        good=TWO + "routes:\n  chat: {start: {fallback: [{balance: [here, there]}, {respond: Sorry.}]}}\n",
    ),
    Code(
        "E110",
        "misplaced-key",
        why="The key exists, and is not read here: nothing would come of it.",
        fix="Move it to where the message says, or remove it.",
        bad=HERE + "routes:\n  chat: {start: {fallback: [{use: here, weight: 2}]}}\n",
        good=TWO + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}, there]}}\n",
    ),
    Code(
        "E111",
        "bad-name",
        why="Names are short and plain, so that they can stand in paths, labels of metrics and messages; "
        "those used in expressions are also free of `-`, which is minus there.",
        fix="Use letters, digits, `.`, `_` and `-`; in expressions small letters, digits and `_`.",
        bad="deployments:\n  my model: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n"
        "  chat: {start: {respond: Hello.}}\n",
        good="deployments:\n  my-model: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n"
        "  chat: my-model\n",
    ),
    Code(
        "E112",
        "out-of-range",
        why="A number lies outside of what makes sense for its key.",
        fix="Write a number in the range that the message names.",
        bad=HERE + "routes:\n  chat: {start: here, per_request: {calls: 0}}\n",
        good=HERE + "routes:\n  chat: {start: here, per_request: {calls: 1}}\n",
    ),
    Code(
        "E113",
        "keys-at-odds",
        why="Keys of one map contradict each other, or one of them does nothing beside the other.",
        fix="Keep the one that was meant.",
        bad=HERE + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}], rank: latency}}\n",
        good=TWO + "routes:\n  chat: {start: {balance: [{use: here, weight: 2}, there], rank: weight}}\n",
    ),
    Code(
        "E114",
        "empty-list",
        why="A list is empty where at least one entry gives it a meaning.",
        fix="Name an entry, or leave the key out.",
        bad=HERE + "routes:\n  chat: {start: {fallback: []}}\n",
        good=HERE + "routes:\n  chat: {start: {fallback: [here, {respond: Sorry.}]}}\n",
    ),
    Code(
        "E115",
        "secret-in-text",
        why="A text holds what a vendor's key looks like. Files of a workspace go to Git, where it stays "
        "for ever.",
        fix="Put it into an environment variable or a file and name that in a secret field. If it is "
        "real, revoke it.",
        bad=HERE + "routes:\n  chat: {start: {respond: 'AKIA" + "ABCDEFGHIJKLMNOP'}}\n",
        good=ROUTED,
    ),
)
