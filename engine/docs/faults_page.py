"""The page of the fault provider (`faults.md`): what it can do, and the scenarios that it is judged by."""

from __future__ import annotations

from inspect import getdoc

from engine.bench.failover.scenarios import SCENARIOS
from engine.bench.faults.catalogue import FAULTS

_ABOUT = """\
# The fault provider

`engine bench upstream --fault NAME[,NAME]` is a vendor on loopback that fails to order. It speaks OpenAI's
chat completions and, under `/v1/messages`, Anthropic's. Put its address into a provider file's `base_url`:

```yaml
# providers.d/faulty.yaml
dialect: openai_chat
base_url: http://127.0.0.1:9000/v1
auth: none
residency: on_host
models: {m: {context: 128k, output: 8k}}
```

A script is a list of faults: one a request, and the last stays. Which script answers is decided by the path
(`/fault/429,ok/v1/...`), else by the name of the model (a model with `id: "429,ok"` is limited once; what
stands behind a `#` only tells models apart), else by `--fault`. `/-/seen` tells what came, `/-/forget`
forgets it; each request is told on stderr when it has been answered, or its connection was closed.
`--quicker 0.1` shortens all waits, `--pace` is the time between two tokens. A last message of the
assistant's is gone on with, as by vendors that take a prefill.
"""

_FAILOVER = """\

## The sixteen scenarios

`engine bench failover` puts `engine serve` before this provider and judges what a caller gets, once with
`switch_until: complete`, once with `switch_until: first_token` and `on_cut: continue`, all sixteen under
one set of `defaults`. It takes 80 s; `--fast` a quarter of it. It exits 0 only where all sixteen pass in
both.
"""


def faults_page() -> str:
    """All faults, and the scenarios."""
    lines = [_ABOUT, "## Faults", "", "| name | what it does | cases |", "| --- | --- | --- |"]
    lines += [f"| `{row.name}` | {_cell(row.what)} | {' '.join(row.serves)} |" for row in FAULTS.values()]
    lines += [_FAILOVER, "| id | at the primary | script | passes |", "| --- | --- | --- | --- |"]
    for each in SCENARIOS:
        means = _cell(getdoc(each.judge) or "")
        lines.append(f"| {each.id} | {each.what} | `{each.primary}` | {means} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
