"""Expressions (`compiler/expr`)."""

from __future__ import annotations

from engine.codes.code import Code


def when(condition: str) -> str:
    """A small routes file whose one `when` is `condition`, as YAML writes it."""
    return (
        "deployments:\n  gpt: {provider: openai, model: gpt-5-mini}\n"
        "keys:\n  orgs: [acme]\n  tags:\n    tier: [gold, silver]\n    my_team: {required: false}\n"
        f"routes:\n  assistant:\n    start:\n      switch:\n        - when: {condition}\n"
        "          use: gpt\n      else: gpt\n"
    )


CODES = (
    Code(
        "E300",
        "expression-syntax",
        why="The text is not an expression: a word or a sign stands where none can, or something is missing.",
        fix="Read the expression from left to right up to the marked place; put in the operator, value or "
        "bracket that is missing, or remove what is too much.",
        bad=when("key.org =="),
        good=when("'key.org == \"acme\"'"),
    ),
    Code(
        "E301",
        "unknown-name",
        why="Expressions know a closed set of names (`request`, `key`, `now`, `weekday`, ...), so that a "
        "typo is found before a request is.",
        fix='Use one of the names in the message. A text needs quotes: `key.org == "acme"`.',
        bad=when("'requst.stream'"),
        good=when("'request.stream'"),
    ),
    Code(
        "E302",
        "unknown-field",
        why="The value has no such field; reading it would silently give nothing.",
        fix="Use one of the fields in the message.",
        bad=when("'request.input_token > 3k'"),
        good=when("'request.input_tokens > 3k'"),
    ),
    Code(
        "E303",
        "undeclared-tag",
        why="The workspace declares its client-key tags under `keys.tags`, and this is none of them: no "
        "key can have it.",
        fix="Correct the name, or declare the tag under `keys.tags`.",
        bad=when("'key.tags.teir == \"gold\"'"),
        good=when("'key.tags.tier == \"gold\"'"),
    ),
    Code(
        "E304",
        "unknown-function",
        why="There is no filter or test of that name here, or it is given the wrong arguments.",
        fix="Use one of those in the message, with the arguments it takes.",
        bad=when("'request.model is startswth(\"gpt\")'"),
        good=when("'request.model is starts_with(\"gpt\")'"),
    ),
    Code(
        "E305",
        "wrong-type",
        why="The operator or the place needs another type of value: the comparison could never hold, or "
        "would mean something else than it seems to.",
        fix="Compare texts with texts in quotes and numbers with numbers without.",
        bad=when("'request.input_tokens > \"3k\"'"),
        good=when("'request.input_tokens > 3k'"),
    ),
    Code(
        "E306",
        "adjacent-texts",
        why="Two texts stand side by side. Jinja would glue them together, which is nearly always a "
        "forgotten comma or operator.",
        fix="Put a comma between the elements of a list, or `~` between parts of one text.",
        bad=when('\'key.tags.tier in ("gold" "silver")\''),
        good=when('\'key.tags.tier in ("gold", "silver")\''),
    ),
    Code(
        "E307",
        "value-as-condition",
        why='`x == "a" or "b"` does not ask whether x is a or b: `"b"` stands alone, and counts as true.',
        fix='Write `x in ("a", "b")`.',
        bad=when('\'key.tags.tier == "gold" or "silver"\''),
        good=when('\'key.tags.tier in ("gold", "silver")\''),
    ),
    Code(
        "E308",
        "single-equals",
        why="`=` assigns in other languages; nothing is assigned in an expression.",
        fix="Write `==` to compare.",
        bad=when("'key.org = \"acme\"'"),
        good=when("'key.org == \"acme\"'"),
    ),
    Code(
        "E309",
        "foreign-operator",
        why="`&&`, `||` and `!` are operators of other languages.",
        fix="Write `and`, `or`, `not`, and `!=` for not equal.",
        bad=when("'request.stream && key.org == \"acme\"'"),
        good=when("'request.stream and key.org == \"acme\"'"),
    ),
    Code(
        "E310",
        "template-in-expression",
        why="The value of `when` and its like is an expression as a whole; `{{ }}` and `{% %}` belong to "
        "text templates.",
        fix="Remove the braces. In provider and dialect files an expression inside text is `${{ expr }}`.",
        bad=when("'{# always #} request.stream'"),
        good=when("'request.stream'"),
    ),
    Code(
        "E311",
        "mixed-or",
        why="`or` is logic between two conditions, or takes the first text that is not empty; between "
        "different types it would sometimes be one and sometimes the other.",
        fix="Compare each side, or make both texts.",
        bad=when("'request.stream or key.org'"),
        good=when("'request.stream or key.org == \"acme\"'"),
    ),
    Code(
        "E312",
        "not-callable",
        why="Values have no methods, and there are few functions: an expression reads, it does not run code.",
        fix="Use the filter or test in the message.",
        bad=when("'request.model.startswith(\"gpt\")'"),
        good=when("'request.model is starts_with(\"gpt\")'"),
    ),
    Code(
        "E313",
        "private-name",
        why="Names that begin with `_` lead into Python's insides; no declared field has one.",
        fix="Use a declared field.",
        bad=when("'request.__class__ == \"x\"'"),
        good=when("'request.model == \"x\"'"),
    ),
    Code(
        "E314",
        "too-costly",
        why="An expression runs for every request, so what could take long or grow large is not part of "
        "the language: powers, repeated texts, huge numbers, very long or deep expressions.",
        fix="Write the value itself, or split the expression.",
        bad=when("'request.input_tokens > 9 ** 9'"),
        good=when("'request.input_tokens > 300k'"),
    ),
    Code(
        "E315",
        "bad-pattern",
        why="The pattern is none of RE2, which has no look-around and no back-references so that no text "
        "can make it slow.",
        fix="Correct the pattern; express look-around by two tests with `and`/`not`.",
        bad=when("'request.model is matches(\"gpt(?!-4)\")'"),
        good=when('\'request.model is matches("^gpt") and not request.model is matches("^gpt-4")\''),
    ),
    Code(
        "E316",
        "bad-time",
        why="`between` takes two different times of day.",
        fix='Write them with hours and minutes of a 24-hour clock: `between("22:00", "06:00")`.',
        bad=when('\'between("22:00", "25:00")\''),
        good={
            "engine.yaml": "timezone: Europe/Berlin\n",
            "routes/main.yaml": when('\'between("22:00", "06:00")\''),
        },
    ),
    Code(
        "E317",
        "hyphen-in-name",
        why="`-` is minus: `key.tags.my-team` takes `team` away from `key.tags.my`.",
        fix="Name it with `_` where it is declared and here.",
        bad=when("'key.tags.my-team == \"a\"'"),
        good=when("'key.tags.my_team == \"a\"'"),
    ),
    Code(
        "E318",
        "no-condition",
        why="A condition is true or false; this value is neither.",
        fix="Compare it with something.",
        bad=when("request.input_tokens"),
        good=when("request.input_tokens > 3k"),
    ),
    Code(
        "E319",
        "name-elsewhere",
        why="The name exists, but has no value at this place.",
        fix="Move the expression to where the message says, or ask something else.",
        bad=when("'label.task == \"code\"'"),
        good=when("'request.text is matches(\"```\")'"),
    ),
    Code(
        "E320",
        "not-in-language",
        why="This part of Jinja is not in the language: expressions here read, compare and choose.",
        fix="Write it with what the message names.",
        bad=when("'1k < request.input_tokens < 3k'"),
        good=when("'request.input_tokens > 1k and request.input_tokens < 3k'"),
    ),
    Code(
        "E321",
        "cut-by-yaml",
        why="In a YAML value without quotes, ` #` begins a comment: the rest of the expression was cut off.",
        fix="Put the whole expression in single quotes; the message shows the line.",
        bad=when("key.name == #1"),
        good=when("'key.name == \"#1\"'"),
    ),
    Code(
        "E322",
        "impossible-value",
        why="The value is compared with a word that it can never be.",
        fix="Use one of the words in the message, or declare the new one.",
        bad=when("'key.tags.tier == \"glod\"'"),
        good=when("'key.tags.tier == \"gold\"'"),
    ),
)
