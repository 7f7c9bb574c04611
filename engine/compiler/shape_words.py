"""What `shape` says: pydantic's errors in the language's own words, with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pydantic_core import ErrorDetails

from engine.compiler.document import Path
from engine.compiler.suggest import did_you_mean
from engine.keys.looks import looks_secret
from engine.spec.fault import FAULT, shown
from engine.spec.model import Spec, called, fields
from engine.spec.nodes.node import EDGE_CHILD, KIND_KEYS, Edge, NodeSpec, kinds_in

#: More keys than this are not listed: nobody reads them.
_FEW: Final = 14

#: Faults whose message speaks of a value: the key before it says which.
_OF_VALUES: Final = frozenset({"E102", "E103", "E104", "E105", "E106", "E112", "E114"})

#: Keys that stand on a node's map for its parent, and the parents that read them.
_EDGE_KEYS: Final = {
    "when": "an arm of a `switch`",
    "weight": "a member of a `balance` or an `ensemble`",
    "share": "an arm of a `split`, or on a `mirror`",
}

_CREDENTIALS: Final = (
    "credentials have a section of their own: `credentials: NAME`, and there `secret: env:NAME`"
)

#: (noun, key) -> what to write instead: words of other gateways, and near misses of meaning.
_MEANT: Final = {
    ("deployment", "api_key"): _CREDENTIALS,
    ("deployment", "secret"): _CREDENTIALS,
    ("deployment", "base_url"): "it is `endpoint`; a server of your own is a file in providers.d/",
    ("deployment", "api_base"): "it is `endpoint`; a server of your own is a file in providers.d/",
    ("deployment", "params"): "`params` stands on the node that uses it: {use: NAME, params: {...}}",
    ("deployment", "timeout"): "`timeout` stands on the node that uses it: {use: NAME, timeout: {...}}",
    ("deployment", "retry"): "`retry` stands on the node that uses it: {use: NAME, retry: {...}}",
    ("credential", "api_key"): "it is `secret`",
    ("credential", "key"): "it is `secret`",
    ("route", "model"): "the names clients ask for are `match: {models: [...]}`",
    ("route", "models"): "the names clients ask for are `match: {models: [...]}`",
    ("route", "when"): "it belongs into `match`: {when: ...}",
    ("route", "nodes"): "named nodes are a section of their own, beside `routes`",
    ("route", "cost"): "it belongs into `per_request`",
    ("route", "calls"): "it belongs into `per_request`",
    ("admit", "max_tokens"): "it is `output`",
    ("retry", "attempts"): "it is `extra`: how many more calls after the first",
    ("retry", "on"): "it is `failures`",
    ("timeout", "read"): "there are `first_token` (until it begins), `idle` (between events) and `total`",
    ("stream", "commit"): "it is `switch_until`",
    ("engine.yaml", "port"): "it is part of `listen`: HOST:PORT",
    ("engine.yaml", "host"): "it is part of `listen`: HOST:PORT",
}  # fmt: skip


class Words(NamedTuple):
    """A diagnostic without its place."""

    code: str
    message: str
    help: str | None = None


def say(detail: ErrorDetails, owner: type[Spec] | None, path: Path) -> Words:
    """The words for one error. `owner` is the class of the map at fault, `path` where it stands."""
    kind, value = detail["type"], detail["input"]
    context: dict[str, Any] = detail.get("ctx") or {}
    match kind:
        case _ if kind == FAULT:
            return _fault(context, path)
        case "extra_forbidden":
            return _unknown_key(str(detail["loc"][-1]), owner)
        case "missing":
            return _missing(str(detail["loc"][-1]), owner, path)
        case "union_tag_not_found" | "union_tag_invalid":
            return _no_node(value, path)
        case "literal_error":
            return _none_of(value, re.findall(r"'([^']*)'", context.get("expected", "")), path)
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type":
            return _no_map(value, owner, path)
        case _:
            return Words("E102", f"{subject(path)}{shown(value)} is not accepted here: {detail['msg']}")


def subject(path: Path) -> str:
    """`connect`: or `failures[1]`: before a message; nothing at the root."""
    text = ""
    for key in reversed(path):
        text = f"[{key}]{text}" if isinstance(key, int) else f"{key}{text}"
        if isinstance(key, str):
            break
    return "" if not text or looks_secret(text) else f"{shown(text)}: "


def _fault(context: dict[str, Any], path: Path) -> Words:
    code: str = context["code"]
    before = subject(path) if code in _OF_VALUES or code == "E107" else ""
    return Words(code, before + context["message"], context["help"])


def _keys(owner: type[Spec]) -> list[str]:
    return [key for key in fields(owner) if key != EDGE_CHILD]


def near_key(key: str, owner: type[Spec] | None) -> str | None:
    """The key of `owner` that was probably meant; None where another place was."""
    if owner is None or (owner.noun, key) in _MEANT:
        return None
    return "start" if _near_kind(key, owner) else did_you_mean(key, _keys(owner))


def _near_kind(key: str, owner: type[Spec]) -> str | None:
    """The kind of node that was probably meant by a key of a route, where kinds stand one level down."""
    if owner.noun != "route":
        return None
    near = did_you_mean(key, [*_keys(owner), *KIND_KEYS])
    return near if near in KIND_KEYS else None


def _unknown_key(key: str, owner: type[Spec] | None) -> Words:
    if owner is None:
        return Words("E101", f"unknown key {shown(key)}")
    if issubclass(owner, NodeSpec) and key in _EDGE_KEYS:
        return Words("E110", f"`{key}` is not read here", f"it stands on {_EDGE_KEYS[key]}")
    section = owner.noun == "workspace"
    message = f"unknown section {shown(key)}" if section else f"unknown key {shown(key)} in {called(owner)}"
    known = _keys(owner)
    if meant := _MEANT.get((owner.noun, key)):
        return Words("E101", message, meant)
    if kind := _near_kind(key, owner):
        return Words("E101", message, f"did you mean `start: {{{kind}: ...}}`?")
    if near := near_key(key, owner):
        return Words("E101", message, f"did you mean `{near}`?")
    return Words("E101", message, f"it takes {', '.join(known)}" if len(known) <= _FEW else None)


def _missing(key: str, owner: type[Spec] | None, path: Path) -> Words:
    if owner is None:
        return Words("E107", f"`{key}` is missing")
    message = f"`{key}` is missing in {_this(owner, path)}"
    info = fields(owner)[key][1]
    example = f"; for example `{key}: {_yaml(info.examples[0])}`" if info.examples else ""
    return Words("E107", message, f"{(info.description or '').rstrip('.')}{example}")


def _this(owner: type[Spec], path: Path) -> str:
    """The map at hand: by its name where it has one."""
    name = called(owner)
    if name.startswith("`"):
        return name
    noun = name.partition(" ")[2]
    if issubclass(owner, NodeSpec | Edge) or not path or not isinstance(path[-1], str):
        return f"this {noun}"
    return f"the {noun} {shown(path[-1])}"


def _no_node(value: Any, path: Path) -> Words:
    """A node with no kind key, or with two, or no node at all."""
    if not isinstance(value, dict):
        message = f"{subject(path)}{shown(value)} stands where a node is expected"
        return Words("E102", message, "a node is a name, or a map with a kind key, like {fallback: [a, b]}")
    found = kinds_in(value)
    if len(found) > 1:
        names = " and ".join(f"`{kind}`" for kind in found)
        return Words("E109", f"{names} are both kinds, and a node has one", "put one of them below the other")
    if not value:
        return Words("E108", f"{subject(path)}the node is empty", f"give it a kind: {', '.join(KIND_KEYS)}")
    for key in value:
        near = did_you_mean(str(key), KIND_KEYS)
        if near:
            return Words("E108", f"the node has no kind: {shown(key)} is none", f"did you mean `{near}`?")
    keys = ", ".join(shown(key) for key in list(value)[:5])
    return Words("E108", f"the node has no kind: it has {keys}", f"give it one of {', '.join(KIND_KEYS)}")


def _none_of(value: Any, expected: list[str], path: Path) -> Words:
    listed = " or ".join(expected) if len(expected) <= 2 else ", ".join(expected)
    message = f"{subject(path)}{shown(value)} is none of {listed}"
    if len(expected) == 1:
        message = f"{subject(path)}{shown(value)} is not accepted: only `{expected[0]}` is"
    near = did_you_mean(value, expected) if isinstance(value, str) else None
    return Words("E104", message, f"did you mean `{near}`?" if near else None)


def _no_map(value: Any, owner: type[Spec] | None, path: Path) -> Words:
    message = f"{subject(path)}{shown(value)} stands where a map is expected"
    if owner is None:
        return Words("E102", message)
    known = _keys(owner)
    listed = (
        f"its keys are {', '.join(known)}" if len(known) <= _FEW else "write its keys on lines of their own"
    )
    first = next(((key, info.examples[0]) for key, (_, info) in fields(owner).items() if info.examples), None)
    example = f"; for example {{{first[0]}: {_yaml(first[1])}}}" if first else ""
    return Words("E102", message, listed + example)


def _yaml(value: Any) -> str:
    """A small example as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"'{text}'" if isinstance(value, str) and _needs_quotes(text) else text


def _needs_quotes(text: str, special: Iterable[str] = (": ", " #", "{", "}", "[", "]", ",", '"')) -> bool:
    return any(mark in text for mark in special)
