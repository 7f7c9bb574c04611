"""What can be called: filters (`x | f`), tests (`x is f`) and functions (`f(x)`), with the types they take.

The code behind a name is `engine.plan.functions.TABLE[name]`; it is given the value and the arguments, and
gives None (absent) for what it cannot use, so nothing here fails at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.compiler.expr.types import ANY, BOOL, INTEGER, NUMBER, STRING, T, list_of, map_of


@dataclass(frozen=True, slots=True)
class Call:
    """`takes` is the value's type, `arguments` those after it; `needed` of them cannot be left out.

    `rest`: the last argument may be repeated. `route`: allowed in the expressions of routes too. `constant`:
    arguments must be literals. `pattern`: the position of an argument that is an RE2 pattern.
    """

    takes: T
    arguments: tuple[T, ...]
    result: T
    needed: int
    rest: bool = False
    route: bool = False
    constant: bool = False
    pattern: int | None = None


def _call(
    takes: T, *arguments: T, to: T, needed: int | None = None, rest: bool = False, route: bool = False,
    constant: bool = False, pattern: int | None = None,
) -> Call:  # fmt: skip
    given = len(arguments) if needed is None else needed
    return Call(takes, arguments, to, given, rest, route, constant, pattern)


_TEXT: Final = STRING.maybe()
_LIST: Final = list_of(ANY)
_MAP: Final = map_of(ANY)

FILTERS: Final[dict[str, Call]] = {
    "lower": _call(STRING, to=STRING, route=True),
    "upper": _call(STRING, to=STRING),
    "trim": _call(STRING, to=STRING),
    "length": _call(ANY, to=INTEGER, route=True),
    "starts_with": _call(STRING, STRING, to=BOOL, route=True),
    "ends_with": _call(STRING, STRING, to=BOOL, route=True),
    "matches": _call(STRING, STRING, to=BOOL, route=True, constant=True, pattern=0),
    "replace": _call(STRING, STRING, STRING, to=STRING, constant=True, pattern=0),
    "find_text": _call(STRING, STRING, to=STRING.maybe(), constant=True, pattern=0),
    "fromjson": _call(STRING, to=ANY),
    "tojson": _call(ANY, to=_TEXT),
    "default": _call(ANY, ANY, to=ANY),
    "first": _call(_LIST, to=ANY),
    "last": _call(_LIST, to=ANY),
    "join": _call(_LIST, STRING, to=_TEXT, needed=0),
    "split": _call(STRING, STRING, to=list_of(STRING).maybe()),
    "data_url": _call(STRING, to=map_of(STRING).maybe()),
    "sealed": _call(STRING, STRING, STRING, to=_TEXT),
    "opened": _call(STRING, STRING, to=map_of(STRING).maybe()),
    "char_offset": _call(STRING, INTEGER, to=INTEGER.maybe()),
    "byte_offset": _call(STRING, INTEGER, to=INTEGER.maybe()),
    "b64encode": _call(STRING, to=_TEXT),
    "b64decode": _call(STRING, to=_TEXT),
    "pack": _call(_LIST, STRING, to=_TEXT, needed=0),
    "unpack": _call(STRING, STRING, to=list_of(NUMBER).maybe(), needed=0),
    "to_format": _call(STRING, to=_TEXT),
    "to_media_type": _call(STRING, STRING, to=_TEXT, needed=0),
    "fits": _call(STRING, STRING, INTEGER, to=BOOL),
    "clamp": _call(NUMBER, NUMBER, NUMBER, to=NUMBER.maybe()),
    "round": _call(NUMBER, INTEGER, to=NUMBER.maybe(), needed=0),
    "int": _call(ANY, to=INTEGER.maybe()),
    "float": _call(ANY, to=NUMBER.maybe()),
    "string": _call(ANY, to=_TEXT),
    "rfc3339": _call(INTEGER, to=_TEXT),
    "unix_time": _call(STRING, to=INTEGER.maybe()),
    "duration": _call(ANY, to=NUMBER.maybe()),
    "pick": _call(_MAP, STRING, to=_MAP.maybe(), rest=True),
    "omit": _call(_MAP, STRING, to=_MAP.maybe(), rest=True),
    "rename": _call(_MAP, map_of(STRING), to=_MAP.maybe()),
    "camel_keys": _call(_MAP, to=_MAP.maybe()),
    "merge": _call(_MAP, _MAP, to=_MAP.maybe()),
    "put": _call(_MAP, ANY, ANY, to=_MAP.maybe()),
    "keys": _call(_MAP, to=list_of(STRING).maybe()),
    "values": _call(_MAP, to=_LIST.maybe()),
    "items": _call(_MAP, to=list_of(_MAP).maybe()),
    "append": _call(_LIST, ANY, to=_LIST.maybe()),
    "flatten": _call(_LIST, to=_LIST.maybe()),
    "dedupe": _call(_LIST, to=_LIST.maybe()),
    "pluck": _call(_LIST, STRING, to=_LIST.maybe()),
    "where": _call(_LIST, STRING, ANY, to=_LIST.maybe()),
    "find": _call(_LIST, STRING, ANY, to=ANY),
    "leading": _call(_LIST, STRING, STRING, to=_LIST.maybe(), rest=True),
    "following": _call(_LIST, STRING, STRING, to=_LIST.maybe(), rest=True),
    "drop_keys": _call(_MAP, STRING, to=_MAP.maybe(), rest=True),
    "inline_refs": _call(_MAP, to=_MAP.maybe()),
    "get": _call(_MAP, ANY, ANY, to=ANY, needed=1),
}
FUNCTIONS: Final[dict[str, Call]] = {
    "coalesce": _call(ANY, ANY, to=ANY, needed=0, rest=True),
    "stable_id": _call(STRING, ANY, to=STRING, needed=0, rest=True),
    "min": _call(NUMBER, NUMBER, to=NUMBER.maybe(), rest=True),
    "max": _call(NUMBER, NUMBER, to=NUMBER.maybe(), rest=True),
}
#: Filters that keep the type of the value they stand on.
KEEPS_TYPE: Final = frozenset({"append", "dedupe", "where", "leading", "following"})
#: Filters that give an element of the list they stand on.
TAKES_ELEMENT: Final = frozenset({"first", "last", "find"})

#: Tests without arguments: name -> whether it says something about an absent value too.
TESTS: Final = ("string", "number", "boolean", "mapping", "list", "defined", "none")
#: The tests of other languages by the name they have here.
TEST_ALIASES: Final = {
    "sequence": "list", "iterable": "list", "dict": "mapping", "object": "mapping", "undefined": "none",
    "null": "none", "integer": "number", "float": "number", "bool": "boolean", "str": "string",
}  # fmt: skip
#: What people call by habit: name -> the filter that does it here.
METHODS: Final = {
    "startswith": "starts_with", "endswith": "ends_with", "lower": "lower", "upper": "upper", "strip": "trim",
    "split": "split", "join": "join", "items": "items", "keys": "keys", "values": "values", "get": "get",
    "replace": "replace", "match": "matches", "search": "matches", "len": "length", "count": "length",
    "append": "append", "contains": "in",
}  # fmt: skip
COSTLY: Final = frozenset(
    {"range", "lipsum", "cycler", "joiner", "namespace", "dict", "center", "indent", "xmlattr"}
)
