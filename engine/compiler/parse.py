"""YAML text to plain data with the place of every value and key, by the rules of YAML 1.2.

PyYAML's parser (in C where it is built) delivers events; the tree is built here, so that duplicate keys,
tags, anchors, merge keys and runaway aliases are refused where they stand, with a message of their own.
Faults that leave a usable tree (a duplicate key, say) are all reported; a fault in the syntax, or a limit
that was met, ends the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import yaml

from engine.compiler.anchors import Anchors
from engine.compiler.document import Document
from engine.compiler.load import Source
from engine.compiler.places import Path, Places
from engine.compiler.prescan import prescan
from engine.compiler.scalars import NumberError, core
from engine.compiler.syntax import ODD_SPACE, report_syntax
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Diagnostics, Related, Span

__all__ = ["MAX_DEPTH", "MAX_NODES", "Document", "parse"]

MAX_DEPTH: Final = 64
MAX_NODES: Final = 100_000

#: `$5` and `000`: what YAML makes of `$5,000` inside brackets.
_HEAD: Final = re.compile(r"[$€£]?[0-9]{1,3}")
_GROUP: Final = re.compile(r"[0-9]{3}(?:\.[0-9]+)?(?:/\S+|[kM%])?")

_LOADER: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)


def parse(source: Source, out: Diagnostics) -> Document | None:
    """The file's value and places; None where the text is not YAML, or beyond a limit.

    An empty file is an empty map (an empty list for a file of cases). Faults go to `out`.
    """
    if not prescan(source.path, source.text, out):
        return None
    builder = _Builder(source, out)
    try:
        return builder.document()
    except _StopFile:
        return None
    except yaml.YAMLError as error:
        report_syntax(source.path, source.text, error, builder.open_brackets, out)
        return None


class _StopFile(Exception):
    """The file is given up; the diagnostic is already recorded."""


class _Builder:
    """Builds one document from parser events. Recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, source: Source, out: Diagnostics) -> None:
        self.source = source
        self.out = out
        #: The parser's next event. `yaml.parse` would put a generator and two calls before each.
        self.next: Callable[[], Any] = _LOADER(source.text).get_event
        self.places = Places(source.path, split_lines(source.text))
        self.anchors = Anchors(self.places, out)
        self.nodes = 0
        #: The `[` and `{` read and not closed yet: what a syntax error is often about.
        self.open_brackets: list[Span] = []

    def document(self) -> Document:
        self.next()  # the start of the stream
        data: Any = None
        if not isinstance(self.next(), yaml.StreamEndEvent):
            data = self.value(self.next(), (), 1)
            self.next()  # the end of the document
            self.end_of_stream(self.next())
        data = self.root(data)
        self.anchors.finish()
        places = self.places
        return Document(self.source, data, places.spans, places.key_spans, frozenset(places.quoted))

    def end_of_stream(self, event: Any) -> None:
        if not isinstance(event, yaml.StreamEndEvent):
            advice = "one file holds one document: remove the line `---`, or make two files"
            self.out.add("E018", "a second document begins here", self.places.of(event), help=advice)
            raise _StopFile

    def root(self, data: Any) -> Any:
        """The file's value, without its `x-*` keys; an empty file is an empty map or list."""
        wanted: type = list if self.source.kind == "case" else dict
        if data is None:
            self.places.spans[()] = Span(self.source.path, 1, 1, 1, 1)
            return wanted()
        if not isinstance(data, wanted):
            found = "a list" if isinstance(data, list) else "a map" if isinstance(data, dict) else "one value"
            expected, like = (
                ("a list", "- case: what it shows") if wanted is list else ("a map", "name: value")
            )
            message = f"the file holds {found} where {expected} is expected"
            self.out.add("E025", message, self.places.spans[()], help=f"its lines look like `{like}`")
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if not key.startswith("x-")}
        return data

    # --- values

    def value(self, event: Any, path: Path, depth: int) -> Any:
        """Build the value that begins with `event`, at `depth` (1 for the root), and note its places."""
        span = self.places.of(event)
        self.count(1, span)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, span, depth)
        if event.tag is not None:
            self.refuse_tag(event, span)
        name, before = event.anchor, self.nodes
        if name is not None:
            self.anchors.begin(name, path, span)
        self.places.spans[path] = span
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event, path, span)
        else:
            self.limit_depth(depth, span)
            if event.flow_style:
                self.open_brackets.append(span)
            many = isinstance(event, yaml.MappingStartEvent)
            value = self.mapping(event, path, depth) if many else self.sequence(event, path, depth)
            if event.flow_style:
                self.open_brackets.pop()
        if name is not None:
            self.anchors.end(name, path, value, self.nodes - before + 1)
        return value

    def scalar(self, event: Any, path: Path, span: Span) -> Any:
        if event.style:
            self.places.quoted.add(path)
            if event.style in ("|", ">"):
                self.places.spans[path] = self.places.of_block(span)
            return event.value
        try:
            return core(event.value)
        except NumberError as error:
            self.out.add("E024", str(error), span, help="write it in quotes if it is a text")
            return 0

    def sequence(self, event: Any, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        last: Any = None
        while not isinstance(item := self.next(), yaml.SequenceEndEvent):
            # Without a currency sign, `[1,200]` may well be two numbers.
            if event.flow_style and self.cuts_number(last, item) and not last.value[0].isdigit():
                self.thousands(last, item)
            inside = (*path, len(items))
            items.append(self.value(item, inside, depth + 1))
            last = item
        if event.flow_style:
            self.places.stretch(path, self.places.of(item))
        elif items:
            self.places.stretch(path, self.places.spans[(*path, len(items) - 1)])
        return items

    def mapping(self, event: Any, path: Path, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        last: Any = None
        while not isinstance(start := self.next(), yaml.MappingEndEvent):
            child: Any = None
            if event.flow_style and isinstance(start, yaml.ScalarEvent):
                child = self.next()
                if self.has_no_colon(start, child):
                    self.lonely_key(start, last)
                    continue
            name = self.key(start, path, depth)
            child = self.next() if child is None else child
            last = child
            if name is None or self.is_duplicate(name, path, start, entries):
                self.skip(child, path, depth)
                continue
            inside = (*path, name)
            self.places.key_spans[inside] = self.places.of(start)
            entries[name] = self.value(child, inside, depth + 1)
        if event.flow_style:
            self.places.stretch(path, self.places.of(start))
        elif entries:
            self.places.stretch(path, self.places.spans[(*path, next(reversed(entries)))])
        return entries

    def skip(self, event: Any, path: Path, depth: int) -> None:
        """Read past a value that does not count (its key is faulty); its own faults are still told."""
        self.value(event, (*path, _NOWHERE), depth + 1)

    # --- keys

    def key(self, event: Any, path: Path, depth: int) -> str | None:
        """The key's text; None, with a diagnostic, where it is none."""
        if _plain_key(event):
            self.nodes += 1  # counted without a place: the value that follows counts with one
            return str(event.value)
        span = self.places.of(event)
        if not isinstance(event, yaml.ScalarEvent):
            advice = "write a text before the colon; an expression in braces needs single quotes"
            self.out.add("E016", "a list, map or alias stands where a key is expected", span, help=advice)
            self.skip(event, path, depth)
            return None
        self.count(1, span)
        if event.tag is not None:
            self.refuse_tag(event, span)
        if event.anchor is not None:
            advice = "put it before a value under an x- key"
            self.out.add("E019", f"the anchor `&{event.anchor}` stands before a key", span, help=advice)
        if event.style:
            return str(event.value)
        if event.value == "<<":
            advice = "write the keys out; what routes share goes to `defaults`"
            self.out.add("E022", "merge keys (`<<`) are not read", span, help=advice)
            return None
        if ODD_SPACE.match(event.value):
            message = f"U+{ord(event.value[0]):04X} stands here: it looks like a space and is none"
            self.out.add("E011", message, span, help="write plain spaces")
            return None
        if not _is_text(event.value):
            shown = event.value or "(empty)"
            advice = (
                f"write it in quotes: '{event.value}'" if event.value else "write the key before the colon"
            )
            self.out.add("E016", f"the key `{shown}` is not a text", span, help=advice)
            return None
        return str(event.value)

    def is_duplicate(self, name: str, path: Path, event: Any, entries: dict[str, Any]) -> bool:
        if name not in entries:
            return False
        related = [Related("first written here", self.places.key_spans[(*path, name)])]
        advice = "keep one of them, or give one another name"
        message = f"the key `{name}` is written twice"
        self.out.add("E015", message, self.places.of(event), help=advice, related=related)
        return True

    # --- commas in braces

    def has_no_colon(self, key: Any, value: Any) -> bool:
        """True for `b` in `{a: 1, b}`."""
        empty = isinstance(value, yaml.ScalarEvent) and not value.value and not value.style
        return empty and ":" not in self.between(key, value)

    def lonely_key(self, event: Any, last: Any) -> None:
        """A comma cut a value in braces: `{limit: $5,000}`, `{when: a in (b, c)}`."""
        span = self.places.of(event)
        self.count(2, span)
        if self.cuts_number(last, event):
            self.thousands(last, event)
            return
        advice = "a comma in { } begins a new key: give it a value, or put the text with the comma in quotes"
        if isinstance(last, yaml.ScalarEvent) and last.value.count("(") > last.value.count(")"):
            before, line = self.places.of(last), self.places.lines[span.line - 1]
            if before.line == span.end_line:
                begin, end = before.column - 1, span.end_column - 1
                fixed = f"{line[:begin]}'{line[begin:end]}'{line[end:]}"
                advice = f"a comma in {{ }} begins a new key; put the value in single quotes: {fixed.strip()}"
        self.out.add("E028", f"`{event.value}` has no value", span, help=advice)

    def cuts_number(self, last: Any, event: Any) -> bool:
        """True where the plain scalar `event` is the rest of the number `last`, with only a comma between."""
        if not (isinstance(last, yaml.ScalarEvent) and isinstance(event, yaml.ScalarEvent)):
            return False
        if not (_HEAD.fullmatch(last.value) and _GROUP.fullmatch(event.value)):
            return False
        return self.between(last, event) == ","

    def thousands(self, head: Any, group: Any) -> None:
        first, last = self.places.of(head), self.places.of(group)
        span = Span(first.file, first.line, first.column, last.end_line, last.end_column)
        written = f"{head.value},{group.value}"
        message = f"the comma cuts `{written}` in two: in {{ }} and [ ] it begins the next entry"
        self.out.add("E023", message, span, help=f"write {head.value}{group.value}")

    def between(self, first: Any, second: Any) -> str:
        """The text from the end of one event to the start of the next."""
        return self.source.text[first.end_mark.index : second.start_mark.index]

    # --- aliases, tags, limits

    def alias(self, event: Any, path: Path, span: Span, depth: int) -> Any:
        def limit(nodes: int, deepest: int) -> None:
            self.count(nodes, span, alias=event.anchor)
            self.limit_depth(deepest, span)

        return self.anchors.replay(event.anchor, path, span, depth, limit)

    def refuse_tag(self, event: Any, span: Span) -> None:
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")
        advice = "remove it; a text that begins with ! needs quotes"
        self.out.add("E017", f"tags are not read: `{shown}`", span, help=advice)

    def limit_depth(self, depth: int, span: Span) -> None:
        if depth > MAX_DEPTH:
            advice = "give a part of it a name under `nodes:` and refer to it"
            self.out.add("E013", f"more than {MAX_DEPTH} values are nested here", span, help=advice)
            raise _StopFile

    def count(self, nodes: int, span: Span, alias: str | None = None) -> None:
        self.nodes += nodes
        if self.nodes <= MAX_NODES:
            return
        if alias is None:
            advice = "split the file: every section may be spread over several"
            self.out.add("E014", f"the file holds more than {MAX_NODES:,} values", span, help=advice)
        else:
            advice = "aliases of aliases multiply: write less of it, or write it out"
            message = f"`*{alias}` makes the file grow beyond {MAX_NODES:,} values"
            self.out.add("E021", message, span, help=advice)
        raise _StopFile


#: The path element of values that are read past: no key has it, control characters being refused.
_NOWHERE: Final = "\0"


#: What nearly every key is: nothing about it needs a second look.
_WORD: Final = re.compile(r"(?![tTfFnN])[a-zA-Z_$][a-zA-Z0-9_$.]*")


def _plain_key(event: Any) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent)
        and not event.style
        and event.tag is None
        and event.anchor is None
        and _WORD.fullmatch(event.value) is not None
    )


def _is_text(plain: str) -> bool:
    try:
        return isinstance(core(plain), str)
    except NumberError:
        return False
