"""SDK types as judges of a wire body.

A vendor's SDK describes its requests with `TypedDict`s and its answers with pydantic models, both made to be
lenient. `strict(Params)` makes a judge of a TypedDict: unknown keys are refused at every depth, and fields
typed `Iterable[...]`, which pydantic reads lazily, are read to their end. `strict_model(Model)` does the same
for an answer: no field may be there that the model does not name.

Whole packages are made strict at once, because a request is made of types of many of its modules; that
touches annotations of the SDK in this test process only.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import is_typeddict

Judge = Callable[[Any], None]


def strict(params: Any, package: str) -> Judge:
    """A judge of bodies: raises `pydantic.ValidationError` where one is no `params` (a TypedDict, or a union
    of some) of the SDK whose types live in `package`, like `anthropic.types`.
    """
    forbid_extras(package)
    adapter: TypeAdapter[Any] = TypeAdapter(params)

    def judge(body: Any) -> None:
        _drain(adapter.validate_python(body))

    return judge


def strict_model(model: type[BaseModel] | Any) -> Judge:
    """A judge of answers: raises where one is no `model`, or has a field that the model does not name."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)

    def judge(body: Any) -> None:
        found = adapter.validate_python(body)
        unknown = sorted(set(_extras(found)))
        if unknown:
            raise ValueError(f"{getattr(model, '__name__', model)} has no field {', '.join(unknown)}")

    return judge


@cache
def forbid_extras(package: str) -> int:
    """Make every TypedDict of `package` refuse keys that it does not name; returns how many there are."""
    count = 0
    for module in _modules(package):
        for value in list(vars(module).values()):
            if is_typeddict(value) and value.__module__.startswith(package):
                if "__pydantic_config__" not in vars(value):
                    value.__pydantic_config__ = ConfigDict(extra="forbid")
                count += 1
    return count


def _modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for each in pkgutil.walk_packages(root.__path__, package + "."):
        try:
            yield importlib.import_module(each.name)
        except ImportError:  # a part that needs an extra nobody installed
            continue


def _drain(value: Any) -> None:
    """Read lazy iterators to their end: that is when pydantic looks at their items."""
    if isinstance(value, Mapping):
        for item in value.values():
            _drain(item)
    elif not isinstance(value, str | bytes | int | float | bool | BaseModel | None) and hasattr(
        value, "__iter__"
    ):
        for item in value:
            _drain(item)


def _extras(value: Any, at: str = "") -> Iterator[str]:
    """Paths of fields that a model took without naming them, and of values built without a check."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or ():
            yield f"{at}.{name}" if at else name
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name, None), f"{at}.{name}" if at else name)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _extras(item, f"{at}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _extras(item, f"{at}[{number}]")


def faults(judge: Judge, body: Any) -> list[str]:
    """What a judge has against a body, as `path: message` lines; a union's dead branches are left out where
    one branch gets further than all others.
    """
    try:
        judge(body)
    except pydantic.ValidationError as error:
        told = [(".".join(str(step) for step in each["loc"]), each["msg"]) for each in error.errors()]
        deepest = max(len(path.split(".")) for path, _ in told)
        near = [f"{path}: {message}" for path, message in told if len(path.split(".")) >= deepest - 1]
        return near or [f"{path}: {message}" for path, message in told]
    except ValueError as error:
        return [str(error)]
    return []


__all__ = ["Judge", "faults", "forbid_extras", "strict", "strict_model"]
