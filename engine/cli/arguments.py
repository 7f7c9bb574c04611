"""Arguments that several commands share, and a parser that helps whoever mistyped one.

`Parser` is argparse with three differences: a fault is raised as `WrongCall` (main prints it and exits
2), an unknown word gets a "did you mean", and options cannot be abbreviated, since what users script must
stay stable.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn


class WrongCall(Exception):
    """The command was called wrong. `usage` is the usage line of the parser that noticed."""

    def __init__(self, message: str, usage: str, prog: str) -> None:
        super().__init__(message)
        self.message = message
        self.usage = usage
        self.prog = prog


class Parser(argparse.ArgumentParser):
    """The parser of every command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise WrongCall(message, self.format_usage(), self.prog)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Private, but the one place where argparse compares a word with the words it knows.
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near = did_you_mean(str(value), choices)
        raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(choices)}{near}")

    def parse_all(self, argv: list[str]) -> argparse.Namespace:
        """Parse; an unknown option is a `WrongCall` that names the nearest one of the command used."""
        args, extra = self.parse_known_args(argv)
        if extra:
            word = extra[0]
            leaf = self._leaf(argv)
            if word.startswith("-"):
                name = word.partition("=")[0]
                options = [o for a in leaf._actions for o in a.option_strings]
                leaf.error(f"there is no option {name}{did_you_mean(name, options)}")
            leaf.error(f"one argument too many: {word!r}")
        return args

    def _leaf(self, argv: list[str]) -> Parser:
        """The parser of the subcommand that `argv` names, or this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word in argv:
                    below = action.choices.get(word)
                    if isinstance(below, Parser):
                        return below._leaf(argv)
        return self

    def leaves(self) -> Iterable[Parser]:
        """Every parser that ends a command line: this one, or those of its subcommands."""
        below = [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]
        if not below:
            yield self
        for action in below:
            for parser in action.choices.values():
                if isinstance(parser, Parser):
                    yield from parser.leaves()


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """`; did you mean "plan"?` where one of `words` is near, else nothing."""
    near = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def add_workspace(parser: argparse.ArgumentParser, *, env: bool = True) -> None:
    """`[WS]`, by default the current folder, and `--env NAME`."""
    parser.add_argument(
        "workspace", nargs="?", default=".", metavar="WS", help="the workspace's folder (default: .)"
    )
    if env:
        parser.add_argument("--env", metavar="NAME", help="apply the overlay envs/NAME")


def add_format(parser: Parser, formats: tuple[str, ...]) -> None:
    """`--format` on every leaf of `parser` that does not have one yet. The first format is the default."""
    for leaf in parser.leaves():
        if "--format" not in leaf._option_string_actions:
            leaf.add_argument(
                "--format", choices=formats, default=formats[0], help=f"of the result (default: {formats[0]})"
            )


def positive(text: str) -> int:
    """A whole number of at least 1, as argparse's `type`."""
    if not text.isdigit() or len(text) > 12 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
