"""YAML text to plain data with the place of every value and key, by the rules of YAML 1.2.

PyYAML's parser (in C where it is built) delivers events; the tree is built here, so that duplicate keys,
tags, anchors, merge keys and runaway aliases are refused where they stand, with a message of their own.
Faults that leave a usable tree (a duplicate key, say) are all reported; a fault in the syntax, or a limit
that was met, ends the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from engine.compiler.document import Document, Path
from engine.compiler.load import Source
from engine.compiler.prescan import prescan
from engine.compiler.scalars import NumberError, core
from engine.compiler.syntax import report_syntax
from engine.compiler.text_lines import split_lines
from engine.diagnostics import Diagnostics, Related, Span

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
    except _Stop:
        return None
    except yaml.YAMLError as error:
        report_syntax(source.path, source.text, error, out)
        return None


class _Stop(Exception):
    """The file is given up; the diagnostic is already recorded."""


@dataclass(slots=True)
class _Anchor:
    path: Path
    value: Any
    span: Span
    #: Values in it, itself included: what one more alias adds to the count.
    nodes: int
    used: bool = False


@dataclass(slots=True)
class _Key:
    """A key of a map and whether it counts (a faulty one is reported, and its value read past)."""

    name: str | None
    span: Span
    plain: bool


class _Builder:
    """Builds one document from parser events. Recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, source: Source, out: Diagnostics) -> None:
        self.source = source
        self.out = out
        self.events: Iterator[Any] = iter(yaml.parse(source.text, Loader=_LOADER))
        self.spans: dict[Path, Span] = {}
        self.key_spans: dict[Path, Span] = {}
        self.quoted: set[Path] = set()
        self.anchors: dict[str, _Anchor | Span] = {}
        self.nodes = 0
        self.lines = split_lines(source.text)

    def document(self) -> Document:
        next(self.events)  # the start of the stream
        event = next(self.events)
        data: Any = None
        empty = isinstance(event, yaml.StreamEndEvent)
        if not empty:
            root = next(self.events)
            data = self.value(root, (), 1)
            empty = isinstance(root, yaml.ScalarEvent) and data is None
            next(self.events)  # the end of the document
            self.end_of_stream(next(self.events))
        if empty:
            data = [] if self.source.kind == "case" else {}
            self.spans[()] = Span(self.source.path, 1, 1, 1, 1)
        self.check_root(data)
        self.check_anchors()
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if not key.startswith("x-")}
        return Document(self.source, data, self.spans, self.key_spans, frozenset(self.quoted))

    def end_of_stream(self, event: Any) -> None:
        if isinstance(event, yaml.StreamEndEvent):
            return
        span = self.span_of(event)
        advice = (
            "one file holds one document: remove the line `---`, or put what follows in a file of its own"
        )
        self.out.add("E018", "a second document begins here", span, help=advice)
        raise _Stop

    def check_root(self, data: Any) -> None:
        wanted, names = (list, "list") if self.source.kind == "case" else (dict, "map")
        if not isinstance(data, wanted):
            found = (
                "a list"
                if isinstance(data, list)
                else "a map"
                if isinstance(data, dict)
                else "a single value"
            )
            example = "- case: what it shows" if wanted is list else "name: value"
            self.out.add(
                "E025",
                f"the file holds {found} where a {names} is expected",
                self.spans[()],
                help=f"its lines look like `{example}`",
            )

    def check_anchors(self) -> None:
        for name, anchor in self.anchors.items():
            if isinstance(anchor, _Anchor) and not anchor.used:
                advice = f"write *{name} where its value belongs, or remove it"
                self.out.add("W003", f"the anchor `&{name}` is never used", anchor.span, help=advice)

    # --- values

    def value(self, event: Any, path: Path, depth: int) -> Any:
        """Build the value that begins with `event`; its span and those inside it are recorded."""
        span = self.span_of(event)
        self.count(1, span)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, span, depth)
        if event.tag is not None:
            self.tag(event, span)
        name = event.anchor
        if name is not None:
            self.begin_anchor(name, path, span)
            before = self.nodes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event, path, span)
        else:
            if depth > MAX_DEPTH:
                advice = "flatten it; values nest at most 64 deep"
                self.out.add("E013", f"more than {MAX_DEPTH} values are nested here", span, help=advice)
                raise _Stop
            self.spans[path] = span
            many = isinstance(event, yaml.MappingStartEvent)
            value, end = self.mapping(event, path, depth) if many else self.sequence(event, path, depth)
            self.spans[path] = Span(span.file, span.line, span.column, end.end_line, end.end_column)
        if name is not None:
            self.anchors[name] = _Anchor(path, value, self.anchor_span(name, span), self.nodes - before + 1)
        return value

    def scalar(self, event: Any, path: Path, span: Span) -> Any:
        self.spans[path] = span
        if not event.implicit[0] and event.tag is None:
            self.quoted.add(path)
            self.spans[path] = self.block_span(event, span)
            return event.value
        try:
            return core(event.value)
        except NumberError as error:
            self.out.add("E024", str(error), span, help="write it in quotes if it is a text")
            return 0

    def sequence(self, event: Any, path: Path, depth: int) -> tuple[list[Any], Span]:
        items: list[Any] = []
        end = self.spans[path]
        last: Any = None
        while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
            # Without a currency sign, `[1,200]` may well be two numbers.
            if event.flow_style and self.cuts_number(last, item) and not last.value[0].isdigit():
                self.thousands(last.value, item, self.span_of(item))
            items.append(self.value(item, (*path, len(items)), depth + 1))
            end = self.spans[(*path, len(items) - 1)]
            last = item
        return items, self.span_of(item) if event.flow_style else end

    def mapping(self, event: Any, path: Path, depth: int) -> tuple[dict[str, Any], Span]:
        entries: dict[str, Any] = {}
        end = self.spans[path]
        last: Any = None
        while not isinstance(start := next(self.events), yaml.MappingEndEvent):
            child: Any = None
            if event.flow_style and isinstance(start, yaml.ScalarEvent):
                child = next(self.events)
                if self.no_value(start, child):
                    self.lonely_key(start, last)
                    continue
            key = self.key(start, path, depth)
            child = next(self.events) if child is None else child
            self.flag_duplicate(key, (*path, key.name or ""))
            if key.name is None or key.name in entries:
                end = self.skip(child, (*path, f"\0{len(self.spans)}"), depth)
                continue
            inside = (*path, key.name)
            self.key_spans[inside] = key.span
            entries[key.name] = self.value(child, inside, depth + 1)
            found = self.spans[inside]
            end = max(found, key.span, key=lambda s: (s.end_line, s.end_column))
            last = child
        return entries, self.span_of(start) if event.flow_style else end

    def skip(self, child: Any, path: Path, depth: int) -> Span:
        """Read past the value of a key that does not count; its own faults are still told."""
        self.value(child, path, depth + 1)
        return self.spans[path]

    # --- keys

    def key(self, event: Any, path: Path, depth: int) -> _Key:
        span = self.span_of(event)
        if not isinstance(event, yaml.ScalarEvent):
            if isinstance(event, yaml.AliasEvent):
                message, advice = "an alias stands where a key is expected", "write the key itself"
            else:
                message = "a key is a text, not a list or a map"
                advice = "an expression or template in braces must be written in single quotes"
            self.out.add("E016", message, span, help=advice)
            self.skip(event, (*path, f"\0{len(self.spans)}"), depth)
            return _Key(None, span, False)
        self.count(1, span)
        if event.tag is not None:
            self.tag(event, span)
        if event.anchor is not None:
            self.out.add(
                "E019", "an anchor stands before a key", span, help="put it before a value under x-*"
            )
        plain = event.implicit[0]
        if plain and event.value == "<<":
            advice = "write the keys out; what is shared between routes goes to `defaults`"
            self.out.add("E022", "merge keys (`<<`) are not read", span, help=advice)
            return _Key(None, span, True)
        if plain and not self.is_text(event.value):
            shown = event.value or "(empty)"
            advice = (
                f"write it in quotes: '{event.value}'" if event.value else "write the key before the colon"
            )
            self.out.add("E016", f"the key `{shown}` is not a text", span, help=advice)
            return _Key(None, span, True)
        return _Key(event.value, span, plain)

    @staticmethod
    def is_text(value: str) -> bool:
        try:
            return isinstance(core(value), str)
        except NumberError:
            return False

    def flag_duplicate(self, key: _Key, path: Path) -> None:
        first = self.key_spans.get(path)
        if key.name is not None and first is not None:
            related = [Related("first written here", first)]
            advice = "keep one of them, or give one another name"
            self.out.add(
                "E015", f"the key `{key.name}` is written twice", key.span, help=advice, related=related
            )

    def no_value(self, key: Any, value: Any) -> bool:
        """True for `b` in `{a: 1, b}`: a key without even a colon."""
        if not isinstance(value, yaml.ScalarEvent) or value.value or not value.implicit[0]:
            return False
        return ":" not in self.between(key, value)

    def between(self, first: Any, second: Any) -> str:
        """The text from the end of one event to the start of the next."""
        return self.source.text[first.end_mark.index : second.start_mark.index]

    def lonely_key(self, event: Any, last: Any) -> None:
        """A comma cut a value in braces: `{limit: $5,000}`, `{when: a in (b, c)}`."""
        span = self.span_of(event)
        self.count(2, span)
        if self.cuts_number(last, event):
            self.thousands(last.value, event, span)
            return
        advice = "a comma in { } begins a new key: give it a value, or put the text with the comma in quotes"
        self.out.add("E028", f"`{event.value}` has no value", span, help=advice)

    def cuts_number(self, last: Any, event: Any) -> bool:
        """True where the plain scalar `event` is the rest of the number `last`, with only a comma between."""
        if not (isinstance(last, yaml.ScalarEvent) and isinstance(event, yaml.ScalarEvent)):
            return False
        if not (_HEAD.fullmatch(last.value) and _GROUP.fullmatch(event.value)):
            return False
        return self.between(last, event) == ","

    def thousands(self, before: str, event: Any, span: Span) -> None:
        message = f"the comma cuts `{before},{event.value}` in two: in {{ }} and [ ] it begins the next entry"
        self.out.add("E023", message, span, help=f"write {before}{event.value}")

    # --- anchors, aliases, tags

    def begin_anchor(self, name: str, path: Path, span: Span) -> None:
        here = self.anchor_span(name, span)
        if not (path and isinstance(path[0], str) and path[0].startswith("x-")):
            advice = "define it under a top-level key that begins with x-, and use *" + name + " here"
            self.out.add("E019", f"the anchor `&{name}` is not under an x- key", here, help=advice)
        first = self.anchors.get(name)
        if first is not None:
            place = first.span if isinstance(first, _Anchor) else first
            related = [Related("first defined here", place)]
            self.out.add("E027", f"the anchor `&{name}` is defined twice", here, related=related)
        self.anchors[name] = here

    def alias(self, event: Any, path: Path, span: Span, depth: int) -> Any:
        anchor = self.anchors.get(event.anchor)
        self.spans[path] = span
        if anchor is None:
            known = ", ".join(f"&{name}" for name in self.anchors) or "none"
            advice = f"anchors defined above it: {known}; a text that begins with * needs quotes"
            self.out.add("E020", f"the alias `*{event.anchor}` has no anchor", span, help=advice)
            return None
        if isinstance(anchor, Span):
            related = [Related("the anchor", anchor)]
            self.out.add(
                "E020", f"the alias `*{event.anchor}` stands inside its own anchor", span, related=related
            )
            return None
        anchor.used = True
        self.count(anchor.nodes - 1, span, alias=event.anchor)
        return self.replay(anchor.value, anchor.path, path, depth, span)

    def replay(self, value: Any, origin: Path, path: Path, depth: int, span: Span) -> Any:
        """A copy of an anchor's value at `path`; places inside it stay where they are written."""
        if depth > MAX_DEPTH and isinstance(value, dict | list):
            self.out.add("E013", f"more than {MAX_DEPTH} values are nested through this alias", span)
            raise _Stop
        if origin in self.quoted:
            self.quoted.add(path)
        if not isinstance(value, dict | list):
            return value
        keys: Any = value if isinstance(value, dict) else range(len(value))
        copies = []
        for key in keys:
            old, new = (*origin, key), (*path, key)
            self.spans[new] = self.spans[old]
            if old in self.key_spans:
                self.key_spans[new] = self.key_spans[old]
            copies.append(self.replay(value[key], old, new, depth + 1, span))
        return dict(zip(value, copies, strict=True)) if isinstance(value, dict) else copies

    def tag(self, event: Any, span: Span) -> None:
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")
        advice = "remove it; a text that begins with ! needs quotes"
        self.out.add("E017", f"tags are not read: `{shown}`", span, help=advice)

    # --- limits and places

    def count(self, nodes: int, span: Span, alias: str | None = None) -> None:
        self.nodes += nodes
        if self.nodes <= MAX_NODES:
            return
        if alias is None:
            advice = "split the file: every section may be spread over several"
            self.out.add("E014", f"the file holds more than {MAX_NODES:,} values", span, help=advice)
        else:
            advice = "aliases of aliases multiply: write less of it, or write it out"
            self.out.add(
                "E021", f"`*{alias}` makes the file grow beyond {MAX_NODES:,} values", span, help=advice
            )
        raise _Stop

    def span_of(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self.source.path, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def anchor_span(self, name: str, span: Span) -> Span:
        return Span(span.file, span.line, span.column, span.line, span.column + len(name) + 1)

    def block_span(self, event: Any, span: Span) -> Span:
        """A `|` block ends, for the parser, where the next thing begins: move back to its last line of text."""
        if event.style not in ("|", ">") or span.end_line == span.line:
            return span
        last = span.end_line - 1 if span.end_column == 1 else span.end_line
        while last > span.line and not self.lines[last - 1].strip():
            last -= 1
        return Span(span.file, span.line, span.column, last, len(self.lines[last - 1]) + 1)
