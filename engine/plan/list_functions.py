"""Functions on lists and maps. None changes what it is given; each gives None for what it cannot use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) and value else None


def join(value: Any, separator: Any = "") -> str | None:
    """The texts of a list as one; other elements are left out, and no text at all is absent."""
    if not isinstance(value, list) or not isinstance(separator, str):
        return None
    texts = [item for item in value if isinstance(item, str)]
    return separator.join(texts) if texts else None


def concat(a: Any, b: Any) -> list[Any] | None:
    """One list after the other; an absent one is empty."""
    lists = [value for value in (a, b) if isinstance(value, list)]
    return [item for value in lists for item in value] if lists else None


def pick(value: Any, *keys: Any) -> dict[str, Any] | None:
    return {key: value[key] for key in keys if key in value} if isinstance(value, dict) else None


def omit(value: Any, *keys: Any) -> dict[str, Any] | None:
    return {key: item for key, item in value.items() if key not in keys} if isinstance(value, dict) else None


def rename(value: Any, names: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(names, dict):
        return None
    return {_key(names.get(key, key)): item for key, item in value.items()}


def camel_keys(value: Any) -> dict[str, Any] | None:
    """The map with `inline_data` named `inlineData`, not those within: protobuf's JSON takes either name."""
    if not isinstance(value, dict):
        return None
    return {_camel(key) if "_" in key else key: item for key, item in value.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def _key(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def merge(value: Any, other: Any) -> dict[str, Any] | None:
    """Both maps in one; what `other` has and is not null wins. An absent one is empty."""
    if not isinstance(other, dict):
        return value if isinstance(value, dict) else None
    told: dict[str, Any] = {key: item for key, item in other.items() if item is not None}
    return {**value, **told} if isinstance(value, dict) else told


def put(value: Any, key: Any, item: Any) -> dict[str, Any] | None:
    """The map with one more entry. A number as key is its text, as in JSON."""
    if not isinstance(value, dict) or key is None:
        return value if isinstance(value, dict) else None
    return {**value, _key(key): item}


def get(value: Any, key: Any, other: Any = None) -> Any:
    """The entry of a map by a key known at run time, or `other`."""
    if not isinstance(value, dict) or key is None:
        return other
    found = value.get(_key(key))
    return other if found is None else found


def keys(value: Any) -> list[str] | None:
    return list(value) if isinstance(value, dict) else None


def values(value: Any) -> list[Any] | None:
    return list(value.values()) if isinstance(value, dict) else None


def items(value: Any) -> list[dict[str, Any]] | None:
    """A map as a list of `{key, value}`, for `$for`."""
    return [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else None


def append(value: Any, item: Any) -> list[Any] | None:
    if not isinstance(value, list):
        return None
    return value if item is None else [*value, item]


def flatten(value: Any) -> list[Any] | None:
    """A list of lists as one list; what is no list stays as it is."""
    if not isinstance(value, list):
        return None
    out: list[Any] = []
    for item in value:
        if isinstance(item, list):
            out += item
        else:
            out.append(item)
    return out


def dedupe(value: Any) -> list[Any] | None:
    """Each text or number once, the first stays; lists and maps are all kept."""
    if not isinstance(value, list):
        return None
    seen: set[Any] = set()
    out: list[Any] = []
    for item in value:
        if isinstance(item, list | dict):
            out.append(item)
        elif (item.__class__, item) not in seen:
            seen.add((item.__class__, item))
            out.append(item)
    return out


def pluck(value: Any, key: Any) -> list[Any] | None:
    """One field of each map in a list; where it is absent, nothing."""
    if not isinstance(value, list):
        return None
    found = [item.get(key) for item in value if isinstance(item, dict)]
    return [item for item in found if item is not None]


def where(value: Any, key: Any, wanted: Any) -> list[Any] | None:
    """The maps of a list whose `key` is `wanted`."""
    if not isinstance(value, list):
        return None
    return [item for item in value if isinstance(item, dict) and item.get(key) == wanted]


def find(value: Any, key: Any, wanted: Any) -> Any:
    """The first map of a list whose `key` is `wanted`: a tool call by its id."""
    if isinstance(value, list) and wanted is not None:
        for item in value:
            if isinstance(item, dict) and item.get(key) == wanted:
                return item
    return None


def leading(value: Any, key: Any, *wanted: Any) -> list[Any] | None:
    """The maps in front of a list whose `key` is one of those wanted: its system messages."""
    return value[: _led(value, key, wanted)] if isinstance(value, list) else None


def following(value: Any, key: Any, *wanted: Any) -> list[Any] | None:
    """What `leading` leaves."""
    return value[_led(value, key, wanted) :] if isinstance(value, list) else None


def _led(value: list[Any], key: Any, wanted: tuple[Any, ...]) -> int:
    count = 0
    for item in value:
        if not isinstance(item, dict) or item.get(key) not in wanted:
            break
        count += 1
    return count


def merge_adjacent(
    value: list[Any], by: str, fields: tuple[str, ...], only: tuple[str, ...] | None = None
) -> list[Any]:
    """Neighbours with the same `by` become one: the first, its lists or texts in `fields` joined. `only`:
    where it is one of these; None: whatever it is.
    """
    out: list[Any] = []
    for item in value:
        before = out[-1] if out else None
        if not isinstance(item, dict) or not isinstance(before, dict) or item.get(by) != before.get(by):
            out.append(item)
            continue
        if only is not None and item.get(by) not in only:
            out.append(item)
            continue
        if not all(_joinable(before.get(f), item.get(f)) for f in fields):
            out.append(item)
            continue
        joined = {f: _joined(before.get(f), item.get(f)) for f in fields if f in before or f in item}
        out[-1] = {**before, **joined}
    return out


def _joinable(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return True
    return a.__class__ is b.__class__ and isinstance(a, list | str)


def _joined(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


TABLE: Final[dict[str, Callable[..., Any]]] = {
    "first": first, "last": last, "join": join, "concat": concat, "pick": pick, "omit": omit,
    "rename": rename, "camel_keys": camel_keys,
    "merge": merge, "put": put, "get": get, "keys": keys, "values": values, "items": items, "append": append,
    "flatten": flatten, "dedupe": dedupe, "pluck": pluck, "where": where, "find": find,
    "leading": leading, "following": following,
}  # fmt: skip
