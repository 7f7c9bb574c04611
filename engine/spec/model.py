"""The base of every spec class, and how a field says what it is for.

A spec is what a user wrote, typed: frozen, with no key it does not know, and nothing converted in silence
(every leaf type reads exactly its own form). A field's description is its documentation: it goes to the JSON
Schema and the reference page as it stands, with the default that `shown` names.

The classes build their validators on first use: a workspace needs one (the root's), and building one for each
class would cost a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


class Spec(BaseModel):
    """Something that users write as a map."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, revalidate_instances="never")

    #: What the language calls it: names the class in messages, tables and pages. `Route` -> `route`.
    noun: ClassVar[str] = ""


def about(
    description: str,
    *,
    default: Any = None,
    required: bool = False,
    shown: str | None = None,
    alias: str | None = None,
    examples: Iterable[Any] = (),
) -> Any:
    """A field: its documentation, its default (None = not said), and how the default is printed.

    `shown` is the default that applies where the field is left out and the type's own default is None,
    because it inherits or depends on something else.
    """
    extra: dict[str, Any] = {"x-default": shown} if shown is not None else {}
    return Field(
        PydanticUndefined if required else default,
        description=description,
        alias=alias,
        examples=list(examples) or None,
        json_schema_extra=extra or None,
    )


def key_of(name: str, info: FieldInfo) -> str:
    """The key that users write for a field: `otherwise` is `else`."""
    return info.alias or name


def fields(spec: type[Spec]) -> Mapping[str, tuple[str, FieldInfo]]:
    """Key as written -> (attribute, field), in the order of declaration."""
    return {key_of(name, info): (name, info) for name, info in spec.model_fields.items()}


#: Nouns that are keys of the language: they stand in backticks, without an article.
_KEYS = frozenset({
    "match", "admit", "per_request", "stream", "timeout", "retry", "keys", "defaults", "score", "sticky",
    "semantic", "breaker", "concurrent", "usage", "overload", "probe", "require", "expect", "queue",
    "engine.yaml", "tls",
})  # fmt: skip


def called(spec: type[Spec]) -> str:
    """A class in a sentence: `a deployment`, `` `timeout` ``, ``a `switch` node``."""
    kind = spec.noun.removeprefix("node.")
    if kind != spec.noun:
        return f"a `{kind}` node"
    if spec.noun in _KEYS:
        return f"`{spec.noun}`"
    return f"{'an' if spec.noun[:1] in 'aeiou' else 'a'} {spec.noun}"
