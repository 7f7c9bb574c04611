"""What counts in money and cannot be counted, or comes to more than it may (`compiler/checks/prices.py`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HERE, PROVIDER, ROUTED

_VENDOR = PROVIDER + (
    "models:\n  known: {context: 64k, output: 4k, input_price: $1/M, output_price: $4/M}\n"
    "  bare: {context: 64k, output: 4k}\n  endless: {input_price: $1/M, output_price: $4/M}\n"
)


def _with(routes: str) -> dict[str, str]:
    """A workspace whose one vendor has models with and without what is needed."""
    return {"providers.d/acme.yaml": _VENDOR, "routes/main.yaml": routes}


def _counting(deployment: str, admit: str = "") -> dict[str, str]:
    """One deployment behind a route that counts in a budget of money."""
    return _with(
        f"deployments:\n  big: {{provider: acme, {deployment}}}\n"
        f"routes:\n  chat: {{{admit}budgets: [month], start: big}}\n"
        "budgets:\n  month: {limit: $500, window: every 24h}\n"
    )


def _ceiling(cost: str, admit: str) -> dict[str, str]:
    """One route with a ceiling."""
    return _with(
        "deployments:\n  big: {provider: acme, model: known}\n"
        f"routes:\n  chat: {{{admit}per_request: {{cost: {cost}}}, start: big}}\n"
    )


_FLOOR = "require:\n  all: {budgets: [day]}\nbudgets:\n  day: {limit: $500, window: every 24h}\n"

_BUDGET = HERE + (
    "routes:\n  chat: {budgets: [day], start: here}\nbudgets:\n  day: {limit: $5, window: every 24h}\n"
)

CODES = (
    Code(
        "E280",
        "unpriced",
        why="A route counts in a budget of money, or has `per_request.cost`, and leads to a deployment whose "
        "price nobody knows: what it spends could not be counted.",
        fix="Write its `price` at the deployment: by the token, the call or the second; `free`; or "
        "`unknown`, if it shall be asked all the same and nothing is to be reserved for it.",
        bad=_counting("model: bare"),
        good=_counting("model: bare, price: {input: $1/M, output: $4/M}"),
    ),
    Code(
        "E281",
        "unbounded-output",
        why="A route counts in a budget of money, or has `per_request.cost`, and leads to a model that may "
        "write nobody knows how much: there is no worst case that could be reserved.",
        fix="Bound it with `admit.output` at the route.",
        bad=_counting("model: endless"),
        good=_counting("model: endless", "admit: {output: 4k}, "),
    ),
    Code(
        "E282",
        "unbounded-input",
        why="`per_request.cost` is to be proven for every request that a route lets in, and the route lets "
        "in requests of any length.",
        fix="Bound them with `admit.input` at the route.",
        bad=_ceiling("$0.10", ""),
        good=_ceiling("$0.10", "admit: {input: 16k}, "),
    ),
    Code(
        "E283",
        "above-cost-ceiling",
        why="A request that the route lets in may cost more than `per_request.cost`: all calls that it may "
        "come to, retries, judges and the rest of broken streams among them, each as dear as it may get.",
        fix="Lower `admit`, the retries or `per_request.calls`, take cheaper targets, or allow more.",
        bad=_ceiling("$0.01", "admit: {input: 16k}, "),
        good=_ceiling("$0.10", "admit: {input: 16k}, "),
    ),
    Code(
        "E284",
        "price-outside-policy",
        why="A policy's budget of money, or its `per_request.cost`, counts by a price that is written "
        "outside of policies/ (at a deployment, or in a provider file), where anybody may change it.",
        fix="Define the deployment in policies/, with its `price`.",
        bad={
            **_with("deployments:\n  big: {provider: acme, model: known}\nroutes:\n  chat: big\n"),
            "policies/floor.yaml": _FLOOR,
        },
        good={
            **_with("routes:\n  chat: big\n"),
            "policies/floor.yaml": _FLOOR
            + "deployments:\n  big: {provider: acme, model: known, price: {input: $1/M, output: $4/M}}\n",
        },
    ),
    Code(
        "E285",
        "was-still-there",
        why="A budget says that it was another one, and that one is still there: both would count on with "
        "what was spent.",
        fix="Remove `was`, or the budget that it names.",
        bad=HERE + "routes:\n  chat: {budgets: [new, old], start: here}\nbudgets:\n"
        "  new: {limit: 5M tokens, window: every 24h, was: old}\n  old: {limit: $5, window: every 24h}\n",
        good=HERE + "routes:\n  chat: {budgets: [new], start: here}\nbudgets:\n"
        "  new: {limit: 5M tokens, window: every 24h, was: old}\n",
    ),
    Code(
        "N286",
        "overspend-bound",
        why="Where the counts of a budget are kept does not hold it in all cases: the message says when, "
        "and how far it can be overspent then, in each window and for each value of `per`.",
        fix="Nothing, if that is good enough; else keep counts where they last and are shared: SQLite for "
        "one host, Redis for several, with `on_state_loss: reject`.",
        bad={"routes/main.yaml": _BUDGET, "engine.yaml": "state: memory\n"},
        good={"routes/main.yaml": ROUTED, "engine.yaml": "state: memory\n"},
    ),
    Code(
        "N287",
        "hosted-tools-unpriced",
        why="A route that counts in money lets in tools that vendors run themselves, and leads to a "
        "deployment of which nobody knows what a use of them costs. They are billed by the use, beside the "
        "tokens, and after each the model reads its input again: where that is counted, a request that names "
        "one is not sent there, and refused with 400 where nobody else takes it.",
        fix="Let none in (`admit: {hosted_tools: []}`), or write what they cost at the deployment: "
        "`price: {tools: {web_search: {use: $0.01, most: 5}}}`.",
        bad=_counting("model: known"),
        good=_counting("model: known", "admit: {output: 4k}, "),
    ),
)
