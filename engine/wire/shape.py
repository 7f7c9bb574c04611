"""What a client's body must look like, by a dialect file: checked in one walk before anything reads it.

A shape is a type word (`text integer number flag map list any`, several joined by `|`) or a map with any of

    type: text|list    required: true    values: [low, high]    min / max: bounds of a number or of a length
    fields: {name: shape}     items: shape     by: role, cases: {user: shape, ...}     any_of: [name, ...]
    absent: user (the case where the field named by `by` is not there)     otherwise: shape (other cases)
    most: items of a list, at most

`fields` describes a map (other keys are let through), `items` the members of a list, `cases` what else
holds where the field named by `by` has that value; an unknown value of that field is an error. A null
counts as absent. `bind` writes a shape as one Python function, once per plan: what a file says comes into
its source as `repr` of checked scalars only. The first fault found is raised as a `RequestError` that
names its path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from engine.errors import RequestError
from engine.plan.values import Json

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,), "integer": (int,), "number": (int, float), "flag": (bool,), "map": (dict,),
    "list": (list,), "any": (),
}  # fmt: skip
_WORDS: Final = {
    "text": "a string", "integer": "an integer", "number": "a number", "flag": "true or false",
    "map": "an object", "list": "a list", "any": "a value",
}  # fmt: skip
_FOUND: Final[dict[type, str]] = {
    str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object",
    list: "a list",
}  # fmt: skip

KEYS: Final = frozenset(
    {
        "type",
        "required",
        "values",
        "min",
        "max",
        "fields",
        "items",
        "by",
        "cases",
        "any_of",
        "absent",
        "otherwise",
        "most",
    }
)
_DEPTH: Final = 20
#: Fields that are asked for together: so many at least, and at most.
_FEWEST: Final = 4
_TOGETHER: Final = 8


class ShapeError(ValueError):
    """A shape in a dialect file that does not read; `path` is where, from the shape's root."""

    def __init__(self, message: str, path: tuple[str, ...]) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def bind(shape: Json) -> Callable[[Any], None]:
    """The checking function of a shape. Raises ShapeError for a shape that does not read."""
    writer = _Writer()
    writer.shape(shape, "v0", [], ())
    source = "\n".join(["def f(v0):", *(writer.lines or [" pass"]), ""])
    builtins = {"enumerate": enumerate, "len": len}
    space: dict[str, Any] = {"__builtins__": builtins, **_SPACE, **writer.constants}
    exec(compile(source, "<shape>", "exec"), space)  # noqa: S102 - made of fixed syntax and repr() of scalars
    bound: Callable[[Any], None] = space["f"]
    return bound


class _Writer:
    """Writes the function. A path is a list of parts: texts, and variables that hold an index."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.level = 1
        self.variables = 0

    def line(self, text: str) -> None:
        self.lines.append(" " * self.level + text)

    def variable(self) -> str:
        self.variables += 1
        return f"v{self.variables}"

    def constant(self, value: Any) -> str:
        name = f"C{len(self.constants)}"
        self.constants[name] = value
        return name

    def shape(self, shape: Json, var: str, at: list[str], path: tuple[str, ...]) -> None:
        """The statements that check variable `var`, which is not null."""
        if isinstance(shape, str):
            shape = {"type": shape}
        if not isinstance(shape, Mapping):
            raise ShapeError("a shape is a type word or a map", path)
        if len(path) > 2 * _DEPTH:
            raise ShapeError("the shape is nested too deeply", path)
        for key in shape:
            if key not in KEYS:
                known = ", ".join(sorted(KEYS))
                raise ShapeError(f"`{key}` is no part of a shape; known: {known}", (*path, str(key)))
        classes = self.kind(shape, var, at, path)
        if "values" in shape:
            values = self.scalars(shape["values"], (*path, "values"))
            listed = self.constant(frozenset(values))
            self.line(f"if {var}.__class__ in SCALARS and {var} not in {listed}:")
            self.line(f" none_of({_path(at)}, {var}, {', '.join(map(str, values))!r})")
        if "min" in shape or "max" in shape:
            self.bounds(shape, var, at, path, classes)
        if "most" in shape:
            self.most(shape["most"], var, at, path)
        if "items" in shape:
            self.items(shape["items"], var, at, path, classes)
        if any(key in shape for key in ("fields", "any_of", "by")):
            self.map(shape, var, at, path, classes)

    def kind(self, shape: Mapping[str, Json], var: str, at: list[str], path: tuple[str, ...]) -> set[type]:
        """The check of the type; gives the classes that the value can have after it (empty: any)."""
        is_map = any(key in shape for key in ("fields", "any_of", "by"))
        word = shape.get("type") or ("list" if "items" in shape else "map" if is_map else "any")
        words = str(word).split("|")
        for each in words:
            if each not in _TYPES:
                raise ShapeError(f"`{each}` is no type; known: {', '.join(_TYPES)}", (*path, "type"))
        if "any" in words:
            return set()
        classes = {cls for each in words for cls in _TYPES[each]}
        wanted = " or ".join(_WORDS[each] for each in words)
        one = next(iter(classes)).__name__
        # By class, not isinstance: a bool is an int to Python, and no number to JSON.
        test = f"is not {one}" if len(classes) == 1 else f"not in {self.constant(frozenset(classes))}"
        self.line(f"if {var}.__class__ {test}: wrong({_path(at)}, {var}, {wanted!r})")
        return classes

    def bounds(
        self, shape: Mapping[str, Json], var: str, at: list[str], path: tuple[str, ...], classes: set[type]
    ) -> None:
        for key in ("min", "max"):
            if not isinstance(shape.get(key, 0), int | float):
                raise ShapeError(f"`{key}` is a number", (*path, key))
        low, high = shape.get("min"), shape.get("max")
        for sized in (True, False):
            if classes and not any((cls in (str, list, dict)) == sized for cls in classes):
                continue
            measured = f"len({var})" if sized else var
            tests = [f"{measured} < {low!r}"] if low is not None else []
            tests += [f"{measured} > {high!r}"] if high is not None else []
            guard = f"{var}.__class__ in {'SIZED' if sized else 'NUMBERS'} and "
            told = f"outside({_path(at)}, {measured}, {low!r}, {high!r}, {sized})"
            self.line(f"if {guard}({' or '.join(tests)}): {told}")

    def most(self, most: Json, var: str, at: list[str], path: tuple[str, ...]) -> None:
        if type(most) is not int:
            raise ShapeError("`most` is a whole number", (*path, "most"))
        told = f"many({_path(at)}, len({var}), {most})"
        self.line(f"if {var}.__class__ is list and len({var}) > {most}: {told}")

    def items(self, shape: Json, var: str, at: list[str], path: tuple[str, ...], classes: set[type]) -> None:
        index, member = self.variable(), self.variable()
        self.block(f"if {var}.__class__ is list:" if classes != {list} else None)
        self.line(f"for {index}, {member} in enumerate({var}):")
        self.level += 1
        before = len(self.lines)
        self.shape(shape, member, [*at, index], (*path, "items"))
        if len(self.lines) == before:
            self.line("pass")
        self.level -= 1
        self.unblock(classes != {list})

    def map(
        self, shape: Mapping[str, Json], var: str, at: list[str], path: tuple[str, ...], classes: set[type]
    ) -> None:
        guarded = classes != {dict}
        self.block(f"if {var}.__class__ is dict:" if guarded else None)
        before = len(self.lines)
        fields = shape.get("fields") or {}
        for run in _runs(fields):
            together = len(run) >= _FEWEST
            self.block(f"if not {self.constant(frozenset(run))}.isdisjoint({var}):" if together else None)
            for name, inner in run.items():
                self.field(name, inner, var, at, path)
            self.unblock(together)
        if "any_of" in shape:
            names = [str(name) for name in self.scalars(shape["any_of"], (*path, "any_of"))]
            tests = " and ".join(f"{var}.get({name!r}) is None" for name in names)
            self.line(f"if {tests}: needs({_path(at)}, {', '.join(names)!r})")
        if "by" in shape:
            self.cases(shape, var, at, path)
        if len(self.lines) == before:
            self.line("pass")
        self.unblock(guarded)

    def field(self, name: str, shape: Json, var: str, at: list[str], path: tuple[str, ...]) -> None:
        value = self.variable()
        where = [*at, repr(f".{name}" if at else name)]
        self.line(f"{value} = {var}.get({name!r})")
        if isinstance(shape, Mapping) and shape.get("required"):
            self.line(f"if {value} is None: missing({_path(where)})")
            self.shape(shape, value, where, (*path, "fields", name))
            return
        self.line(f"if {value} is not None:")
        self.level += 1
        before = len(self.lines)
        self.shape(shape, value, where, (*path, "fields", name))
        if len(self.lines) == before:
            self.line("pass")
        self.level -= 1

    def cases(self, shape: Mapping[str, Json], var: str, at: list[str], path: tuple[str, ...]) -> None:
        by, cases = str(shape["by"]), shape.get("cases") or {}
        word = self.variable()
        where = [*at, repr(f".{by}" if at else by)]
        self.line(f"{word} = {var}.get({by!r})")
        absent = shape.get("absent")
        if absent is None:
            self.line(f"if {word} is None: missing({_path(where)})")
        elif absent not in cases:
            raise ShapeError(f"`{absent}` is none of the cases", (*path, "absent"))
        else:
            self.line(f"if {word} is None: {word} = {absent!r}")
        branch = "if"
        for name, inner in cases.items():
            self.line(f"{branch} {word} == {str(name)!r}:")
            self.level += 1
            before = len(self.lines)
            if inner is not None:
                self.shape({"type": "map", **inner}, var, at, (*path, "cases", str(name)))
            if len(self.lines) == before:
                self.line("pass")
            self.level -= 1
            branch = "elif"
        if "otherwise" in shape:
            self.line("else:" if cases else "if True:")
            self.level += 1
            self.line(f"if {word}.__class__ is not str: wrong({_path(where)}, {word}, 'a string')")
            if shape["otherwise"] is not None:
                self.shape({"type": "map", **shape["otherwise"]}, var, at, (*path, "otherwise"))
            self.level -= 1
            return
        listed = ", ".join(map(str, cases))
        self.line(f"else: none_of({_path(where)}, {word}, {listed!r})" if cases else "pass")

    def block(self, head: str | None) -> None:
        if head is not None:
            self.line(head)
            self.level += 1

    def unblock(self, guarded: bool) -> None:
        self.level -= guarded

    @staticmethod
    def scalars(value: Json, path: tuple[str, ...]) -> list[Any]:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str | int | float) for v in value):
            raise ShapeError("a list of texts or numbers stands here", path)
        return list(value)


def _runs(fields: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """The fields in order, in runs; those of a run of several need not be there: a body that has none of them
    is asked for all of them at once.
    """
    run: dict[str, Json] = {}
    for name, shape in fields.items():
        required = isinstance(shape, Mapping) and bool(shape.get("required"))
        if run and (required or len(run) == _TOGETHER):
            yield run
            run = {}
        if required:
            yield {str(name): shape}
        else:
            run[str(name)] = shape
    if run:
        yield run


def _path(at: list[str]) -> str:
    """Python source of a path: a tuple of texts and index variables."""
    return f"({''.join(part + ', ' for part in at)})"


def _shown(at: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else part for part in at)


def _wrong(at: tuple[str | int, ...], value: Any, wanted: str) -> NoReturn:
    path, found = _shown(at), _FOUND.get(type(value), "null")
    message = f"{path or 'the body'} is {found}; {wanted} is expected"
    raise RequestError(message, code="invalid_type", param=path or None)


def _missing(at: tuple[str | int, ...]) -> NoReturn:
    path = _shown(at)
    raise RequestError(f"{path} is missing", code="missing_required_parameter", param=path)


def _needs(at: tuple[str | int, ...], names: str) -> NoReturn:
    path = _shown(at)
    message = f"{path or 'the body'} needs one of {names}"
    raise RequestError(message, code="missing_required_parameter", param=path or None)


def _none_of(at: tuple[str | int, ...], value: Any, listed: str) -> NoReturn:
    path = _shown(at)
    text = repr(value)
    shown = text if len(text) < 40 else "a long value"
    raise RequestError(f"{path} is {shown}; it must be one of {listed}", code="invalid_value", param=path)


def _outside(
    at: tuple[str | int, ...], number: float, low: float | None, high: float | None, sized: bool
) -> NoReturn:
    path = _shown(at)
    if sized and not number:
        message = f"{path} is empty; it must not be"
    elif low is not None and number < low:
        message = f"{path} is {number}; at least {low} is expected"
    else:
        message = f"{path} is {number}; at most {high} is expected"
    raise RequestError(message, code="invalid_value", param=path)


def _many(at: tuple[str | int, ...], count: int, most: int) -> NoReturn:
    path = _shown(at)
    message = f"{path} has {count} items; at most {most} is expected"
    raise RequestError(message, code="invalid_value", param=path)


_SPACE: Final[dict[str, Any]] = {
    "wrong": _wrong, "missing": _missing, "needs": _needs, "none_of": _none_of, "outside": _outside,
    "many": _many,
    "SCALARS": frozenset({str, int, float, bool}), "SIZED": frozenset({str, list, dict}),
    "NUMBERS": frozenset({int, float}), "str": str, "int": int, "float": float, "bool": bool, "dict": dict,
    "list": list,
}  # fmt: skip
