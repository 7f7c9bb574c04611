"""The table of diagnostic codes: what each is called, why it exists, what to do.

A code names the fault, not the cure; it is never given to another fault. `engine explain E101`
prints a row of this table, and the examples are tests: `bad` must yield the code, `good` must not.
Ranges: E0xx files and YAML, E090 not built yet, E1xx shape and units, E2xx names and graph, E3xx
expressions and templates, E4xx dialects and providers, E5xx a running process; Wxxx warnings and Nxxx
notes use the same hundreds.

The rows stand here, at the bottom, and not with the checks that find the faults: a running sidecar reports
some of them and renders all, without the compiler.
"""

from __future__ import annotations

from engine.codes import (
    budgets,
    expressions,
    files,
    identity,
    limits,
    merging,
    names,
    policies,
    prices,
    process,
    providers,
    routes,
    shape,
    templates,
    vendors,
    yaml,
)
from engine.codes.code import Code, Severity

_ROWS: tuple[Code, ...] = (
    *files.CODES,
    *yaml.CODES,
    *shape.CODES,
    *merging.CODES,
    *names.CODES,
    *routes.CODES,
    *policies.CODES,
    *budgets.CODES,
    *limits.CODES,
    *prices.CODES,
    *expressions.CODES,
    *templates.CODES,
    *providers.CODES,
    *vendors.CODES,
    *process.CODES,
    *identity.CODES,
)

#: Every code's row, by code.
CODES: dict[str, Code] = {row.code: row for row in _ROWS}
assert len(CODES) == len(_ROWS), "a code is given to two faults"

__all__ = ["CODES", "Code", "Severity"]
