"""Which values an expression or template may read, by the name of its scope, in the order of its parameters.

`code.bind_expr(expr)` and `code.bind_template(template)` give functions with exactly these positional
parameters. In `route` and `answer` they are views with attributes; everywhere else they are plain JSON: dicts
read by `.get`. The scopes of a chat have plain names; those of other operations differ in the types of
`request` and `reply` alone, and have the operation in front: `embeddings.request_write`.
"""

from __future__ import annotations

import typing
from typing import Final

from engine.plan.values import Expr, OperationName

_SCOPES: Final[dict[str, tuple[str, ...]]] = {
    "route": ("request", "key", "clock", "label"),
    "answer": ("request", "key", "clock", "label", "answer"),
    "deployment": ("request", "key", "clock", "label", "deployment"),
    "budget": ("request", "key", "clock", "label", "deployment"),
    "request_read": ("body", "headers"),
    "request_write": ("request", "facts", "target", "provider"),
    "response_read": ("body", "headers", "status"),
    "response_raw": ("body", "request"),
    "response_write": ("reply", "request"),
    "stream_read": ("event", "state", "name"),
    "stream_write": ("event", "state", "request"),
    "error_read": ("body", "headers", "status"),
    "error_write": ("error",),
    "models_write": ("models",),
    "poll": ("body", "headers", "target"),
    "place": ("target",),
    "call": ("target", "provider", "secrets"),
}

_OPERATIONS: Final = tuple(name for name in typing.get_args(OperationName) if name != "chat")
#: Scopes that each operation has of its own: its requests and replies are other types.
_OWN: Final = ("request_read", "request_write", "response_read", "response_raw", "response_write")

SCOPES: Final[dict[str, tuple[str, ...]]] = {
    **_SCOPES,
    **{f"{operation}.{name}": _SCOPES[name] for operation in _OPERATIONS for name in _OWN},
}

#: Parameters that come straight off a wire: they may be any JSON, and are read as an empty map if they are no
#: map.
_WIRE: Final = (
    ("request_read", "body"), ("response_read", "body"), ("response_raw", "body"), ("error_read", "body"),
    ("stream_read", "event"), ("poll", "body"),
)  # fmt: skip
WIRE_PARAMETERS: Final = frozenset(
    {*_WIRE, *((f"{operation}.{s}", name) for operation in _OPERATIONS for s, name in _WIRE if s in _OWN)}
)


def reads_only(expr: Expr, parameter: str) -> bool:
    """Whether an expression reads nothing but this parameter of its scope: the others may be left out."""
    own, waiting = SCOPES[expr.scope].index(parameter), [expr.ir]
    for ir in waiting:
        if isinstance(ir, list):
            if len(ir) == 2 and ir[0] == "p" and ir[1] != own:
                return False
            waiting.extend(ir)
        elif isinstance(ir, dict):
            waiting.extend(ir.values())
    return True


def scope_of(operation: str, name: str) -> str:
    """The scope `name` of an operation's templates."""
    return name if operation == "chat" else f"{operation}.{name}"


def base_scope(name: str) -> str:
    """A scope's name without its operation."""
    return name.rpartition(".")[2]
