"""What groups, policies and a key's own words make of its requests, over a compiled workspace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.compiler.pipeline import compile_folder
from engine.explain.driver import Driven, drive
from engine.plan.plan import Plan
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import ANONYMOUS, Key, Texts

ACME = """\
dialect: openai_chat
auth: {bearer: env:ACME_KEY}
residency: us
regions:
  us: {base_url: 'https://us.acme.ai/v1', residency: us}
  eu: {base_url: 'https://eu.acme.ai/v1', residency: eu}
models:
  large: {context: 128k, output: 8k, input_price: $2/M, output_price: $6/M}
"""
ROUTES = """\
deployments:
  us: {provider: acme, model: large, region: us, credentials: [team, free]}
  eu: {provider: acme, model: large, region: eu, credentials: team}
  usual: {provider: acme, model: large, region: eu}
credentials:
  team: {provider: acme, secret: env:TEAM}
  free: {provider: acme, secret: env:FREE}
routes:
  assistant: {start: {fallback: [us, eu, usual]}, admit: {input: 15k, output: 4k}, per_request: {calls: 4}}
  mini: us
  secret: {start: eu, match: {when: key.org == "acme"}}
  any: {start: us, match: {models: ["openai/*"]}}
groups:
  ci: {when: 'key.tags.kind == "ci"', models: [mini, "openai/gpt*"]}
  few: {models: [mini, assistant]}
  default: {models: [assistant, mini, secret]}
  european: {when: 'key.tags.data == "eu"', residency: [eu]}
keys:
  orgs: [acme, globex]
  tags:
    kind: [dev, ci]
"""
POLICIES = """\
require:
  company: {admit: {input: 20k, output: 4k}}
  trial:
    when: 'key.org == "globex"'
    admit: {input: 1k}
    per_request: {calls: 1, time: 5s}
    credentials: [team]
  named: {when: 'key.tags.data == "eu"', credentials: explicit}
keys:
  tags:
    data: {values: [eu, world], required: true}
residency: {acme.eu: eu, acme.us: us}
credentials:
  team: {provider: acme, secret: env:TEAM}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("ws")
    files = {
        "providers.d/acme.yaml": ACME,
        "routes/main.yaml": ROUTES.replace("  team: {provider: acme, secret: env:TEAM}\n", "", 1),
        "policies/main.yaml": POLICIES,
        "engine.yaml": "state: memory\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    done = compile_folder(folder)
    assert done.plan is not None, [str(d) for d in done.diagnostics]
    return done.plan


WORLD = Texts(data="world")
MINE = Key(id="k", name="bot", org="acme", tags=WORLD)


def ask(plan: Plan, key: Key, model: str = "assistant", text: str = "hi", **more: Any) -> Driven:
    request = {"model": model, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    return drive(plan, {**request, **more}, key=key)  # type: ignore[typeddict-item]


def code(driven: Driven) -> str | None:
    return None if driven.error is None else driven.error.code


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (MINE, ["assistant", "mini", "secret"]),
        (replace(MINE, org="globex"), ["assistant", "mini"]),
        (replace(MINE, tags=Texts(data="world", kind="ci")), ["mini", "openai/*"]),
        (replace(MINE, tags=Texts(data="world", kind="ci"), groups=("few",)), ["mini"]),
        (replace(MINE, groups=("few",)), ["assistant", "mini"]),
        (replace(MINE, models=("assistant",)), ["assistant"]),
        (replace(MINE, groups=("few",), models=("sec*",)), []),
        (replace(MINE, tags=Texts(data="eu")), ["any", "assistant", "mini", "openai/*", "secret"]),
    ],
)
def test_the_models_that_a_key_may_ask_for(plan: Plan, key: Key, told: list[str]) -> None:
    """Groups that apply intersect with each other and with the key's own; `default` is for keys in none."""
    snapshot = Snapshot(plan, {})
    names = snapshot.matcher.names(person=snapshot.person(key))
    assert names == [name for name in told if name != "any"]
    every = ["assistant", "mini", "secret"]
    allowed = [name for name in every if code(ask(plan, key, name)) != "model_not_found"]
    assert allowed == [name for name in told if name in every]
    for name in set(every) - set(allowed):
        refused = ask(plan, key, name).error
        assert refused is not None
        assert (refused.status, refused.code) == (404, "model_not_found")
        for other in set(every) - set(allowed) - {name}:
            assert other not in refused.message


def test_a_pattern_is_asked_for_in_part(plan: Plan) -> None:
    key = replace(MINE, tags=Texts(data="world", kind="ci"))
    assert code(ask(plan, key, "openai/gpt-5")) is None
    assert code(ask(plan, key, "openai/o3")) == "model_not_found"


def test_a_floor_for_all_requests_is_in_every_route(plan: Plan) -> None:
    assert plan.route("mini").admit.input == 20_000
    assert plan.route("mini").admit.output == 4_000
    assert plan.route("mini").admit.images == 0


def test_a_floor_with_when_holds_for_its_keys(plan: Plan) -> None:
    globex = replace(MINE, org="globex")
    long = "word " * 400
    assert code(ask(plan, MINE, text=long)) is None
    assert code(ask(plan, globex, text=long)) == "input_too_long"
    served = ask(plan, globex)
    assert [each.credential for each in served.record.attempts] == ["team"]


def test_calls_are_the_fewest_that_anything_allows(plan: Plan) -> None:
    from engine.explain.driver import Play

    script = {"us": [Play("connect")], "eu": [Play("connect")], "usual": [Play("connect")]}
    request = {"model": "assistant", "messages": []}
    many = drive(plan, request, script=script, key=MINE)  # type: ignore[arg-type]
    one = drive(plan, request, script=script, key=replace(MINE, org="globex"))  # type: ignore[arg-type]
    assert len(many.record.attempts) == 4
    assert len(one.record.attempts) == 1


def test_residency_and_credentials_by_policy(plan: Plan) -> None:
    """`us` is not in the EU, `usual` has the provider file's credential alone."""
    from engine.explain.driver import Play

    key = replace(MINE, tags=Texts(data="eu"))
    request = {"model": "assistant", "messages": []}
    driven = drive(plan, request, script={"eu": [Play("connect")]}, key=key)  # type: ignore[arg-type]
    assert {each.deployment for each in driven.record.attempts} == {"eu"}
    told = " ".join(step.why for step in driven.record.path)
    assert "runs in us" in told
    assert "no credential" in told
    assert code(ask(plan, key, "mini")) == "no_candidate"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (replace(MINE, tags=Texts(kind="ci")), "lacks the tag `data`"),
        (ANONYMOUS, "no client key"),
        (replace(MINE, groups=("gone",)), "the group `gone`"),
        (replace(MINE, budgets=("gone",)), "the budget `gone`"),
        (replace(MINE, limits=("gone",)), "the limit `gone`"),
    ],
)
def test_what_a_key_lacks_or_names_in_vain_refuses_it(plan: Plan, key: Key, why: str) -> None:
    error = ask(plan, key).error
    assert error is not None
    assert (error.status, error.code) == (403, "key_not_allowed")
    assert why in error.message
