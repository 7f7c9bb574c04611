"""Budgets and policies that keys, groups and floors bring along, over a sidecar's own HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from running import CHAT, HELLO, Running, running, write_workspace
from vendor import Vendor

from engine.keys.form import make
from engine.keys.hashing import PUBLIC, digest, shown

KEYS = {name: make() for name in ("plain", "poor", "bound", "covered", "lacking")}


def hashed(name: str) -> str:
    return shown(digest(KEYS[name].encode(), PUBLIC))


ROUTES = f"""\
deployments:
  near: {{provider: fake, model: m-1}}
routes:
  one: {{start: near, admit: {{input: 1k, output: 100}}}}
  other: {{start: {{respond: Free.}}, match: {{when: 'key.tags.team == "ops"'}}}}
budgets:
  pennies: {{limit: 50 tokens, window: day, per: key.id}}
  dust: {{limit: 60 tokens, window: day}}
groups:
  poor: {{when: 'key.tags.team == "poor"', budgets: [pennies]}}
keys:
  orgs: [acme, globex]
  tags: {{team: [poor, ops]}}
  clients:
    plain: {{hash: "{hashed("plain")}", org: acme}}
    poor: {{hash: "{hashed("poor")}", org: acme, tags: {{team: poor}}}}
    bound: {{hash: "{hashed("bound")}", org: acme, budgets: [dust], models: [one]}}
    covered: {{hash: "{hashed("covered")}", org: globex}}
"""
POLICIES = """\
require:
  partners: {when: 'key.org == "globex"', admit: {input: 1k, output: 10}, per_request: {calls: 1}}
"""


async def ask(started: Running, name: str, model: str = "one", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": HELLO, **more}
    return await started.client.post(CHAT, json=body, headers={"x-api-key": KEYS[name]})


async def test_what_keys_groups_and_floors_bring(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(
        tmp_path / "ws", vendor.port, routes=ROUTES, settings="timezone: UTC\ndecision_log: log.jsonl\n"
    )
    (folder / "policies").mkdir()
    (folder / "policies" / "main.yaml").write_text(POLICIES)
    async with running(folder) as started:
        assert (await ask(started, "plain")).status_code == 200
        for name, budget in (("poor", "pennies"), ("bound", "dust")):
            refused = await ask(started, name)
            assert refused.status_code == 402, (name, refused.text)
            assert budget in refused.json()["error"]["message"]
            assert (await ask(started, name, max_tokens=1)).status_code == 200
        assert (await ask(started, "covered", max_tokens=10)).status_code == 200
        assert (await ask(started, "plain", max_tokens=11)).status_code == 200
        over = await ask(started, "covered", max_tokens=11)
        assert (over.status_code, over.json()["error"]["code"]) == (400, "not_admitted")
        hidden = await ask(started, "plain", "other")
        assert hidden.status_code == 404
        assert "other" not in hidden.json()["error"]["message"].partition("Models:")[2]
        assert (await ask(started, "bound", "other")).status_code == 404
        nobody = await ask(started, "lacking")
        assert nobody.status_code == 401
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {each["key"] for each in records} == {"plain", "poor", "bound", "covered"}
