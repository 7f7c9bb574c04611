"""Which values an expression or template may read, by the name of its scope, in the order of its parameters.

`code.bind_expr(expr)` and `code.bind_template(template)` give functions with exactly these positional
parameters. In `route` they are views with attributes; everywhere else they are plain JSON: dicts read by
`.get`.
"""

from __future__ import annotations

from typing import Final

SCOPES: Final[dict[str, tuple[str, ...]]] = {
    "route": ("request", "key", "clock"),
    "request_read": ("body", "headers"),
    "request_write": ("request", "facts", "target", "provider"),
    "response_read": ("body", "headers", "status"),
    "response_write": ("reply", "request"),
    "stream_read": ("event", "state", "name"),
    "stream_write": ("event", "state", "request"),
    "error_read": ("body", "headers", "status"),
    "error_write": ("error",),
    "models_write": ("models",),
    "call": ("target", "provider", "secrets"),
}

#: Parameters that come straight off a wire: they may be any JSON, and are read as an empty map if they are no
#: map.
WIRE_PARAMETERS: Final = frozenset(
    {("request_read", "body"), ("response_read", "body"), ("error_read", "body"), ("stream_read", "event")}
)
