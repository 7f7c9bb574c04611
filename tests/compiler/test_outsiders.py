"""What can be written wrong of tokens, certificates, TLS and addresses: a code, a place, words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler.pipeline import compile_workspace
from engine.plan.identity import Certificate, Issuer, Take

KEYS = """\
deployments:
  here: {provider: onnx, model: smollm2-135m-instruct}
routes:
  chat: here
groups:
  staff: {}
keys:
  orgs: [acme]
  tags: {team: {values: [support, search], required: true}, cost: }
  jwt:
    corp:
      issuer: https://login.acme.ai
      audience: llm
      tags: {team: support}
"""
#: The line after the last of KEYS.
LINE = 15


def found(root: Path, routes: str, settings: str = "") -> list[tuple[str, int, str]]:
    (root / "routes").mkdir()
    (root / "routes" / "main.yaml").write_text(routes)
    (root / "engine.yaml").write_text(settings)
    _, diagnostics = compile_workspace(root)
    return [
        (each.code, each.span.line if each.span else 0, f"{each.message} {each.help}")
        for each in diagnostics
        if each.severity != "note"
    ]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ("algorithms: [none]", "E293", "signs nothing"),
        ("algorithms: [RS256, HS256]", "E293", "the secret that also signs"),
        ("algorithms: [RSA1_5]", "E102", "RS256, RS384"),
        ("jwks: http://login.acme.ai/keys", "E403", "plain http"),
        ("jwks: ftp://login.acme.ai/keys", "E102", "file:jwks.json"),
        ("claims: {org: []}", "E293", "a claim's name"),
        ("claims: {org: [a, -1]}", "E293", "counted from 0"),
        ("claims: {org: {name: a}}", "E293", "claim: ..."),
        ("claims: {org: {claim: a, values: {}}}", "E293", "acme-support"),
        (
            "claims: {org: {claim: tenant, values: {t1: globex}}}",
            "E216",
            "`globex` is no declared organisation",
        ),
        ("claims: {groups: {claim: roles, values: {r1: stuff}}}", "E216", "did you mean `staff`"),
        ("claims: {tags: {teem: a}}", "E216", "did you mean `team`"),
        ("claims: {tags: {team: a}}", "E294", "all of the issuer's subjects"),
        ("claims: {tags: {cost: {claim: a, values: {x: y}}}}", None, ""),
        ("claims: {nmae: email}", "E101", "did you mean `name`"),
        ("groups: [staf]", "E210", "did you mean `staff`"),
        ("org: globex", "E216", "`globex` is no declared organisation"),
        ("leeway: 1h", "E112", "5m"),
        ("refresh: 1s", "E112", "10s"),
        ("keep: 1m", "E112", "`keep` above `refresh`"),
        ("revoked: {subjects: []}", "E114", "empty"),
    ],
)
def test_token_issuers(tmp_path: Path, more: str, code: str | None, words: str) -> None:
    told = found(tmp_path, KEYS + f"      {more}\n")
    assert [(each[0], each[1]) for each in told] == ([] if code is None else [(code, LINE)])
    assert all(words in each[2] for each in told)


def test_one_entry_for_an_issuer(tmp_path: Path) -> None:
    again = "    other: {issuer: 'https://login.acme.ai', audience: api, tags: {team: search}}\n"
    (told,) = found(tmp_path, KEYS + again)
    assert told[:2] == ("E293", LINE)


def test_a_required_tag_comes_from_somewhere(tmp_path: Path) -> None:
    (told,) = found(tmp_path, KEYS.replace("      tags: {team: support}\n", ""))
    assert told[:2] == ("E294", 11)
    assert "claims: {tags: {team: ...}}" in told[2]


TLS = "tls: {certificate: file:/c.pem, key: file:/k.pem, clients: file:/ca.pem}\n"


@pytest.mark.parametrize(
    ("rule", "settings", "code", "words"),
    [
        ("{dns: a.acme.ai, tags: {team: search}}", TLS, None, ""),
        ("{dns: a.acme.ai, tags: {team: search}}", "", "E295", "nobody is asked for a certificate"),
        ("{dns: a.acme.ai}", TLS, "E294", "comes from nowhere"),
        ("{dns: a.acme.ai, tags: {team: sales}}", TLS, "E216", "no value of the tag"),
        ("{tags: {team: search}}", TLS, "E295", "gives none"),
        ("{dns: a, cn: b, tags: {team: search}}", TLS, "E295", "dns and cn"),
        ("{ip: 10.0.0.1, tags: {team: search}}", TLS, "E101", "uri"),
    ],
)
def test_certificate_rules(tmp_path: Path, rule: str, settings: str, code: str | None, words: str) -> None:
    told = found(tmp_path, KEYS + f"  mtls:\n    bot: {rule}\n", settings)
    assert {each[0] for each in told} == ({code} if code else set())
    assert {each[1] for each in told} <= {LINE + 1}
    assert all(words in each[2] for each in told)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("tls: {certificate: env:CERT, key: file:/k.pem}", "E291", "file:/etc"),
        ("tls: {certificate: file:/c.pem, key: file:/k.pem, client_required: false}", "E291", "clients:"),
        ("tls: {certificate: file:/c.pem}", "E107", "key"),
        ("tls: {certificate: /c.pem, key: file:/k.pem}", "E105", "not shown"),
        ("trusted_proxies: [10.1.2.3/8]", "E292", "10.0.0.0/8"),
        ("trusted_proxies: ['::ffff:10.0.0.0/104']", "E292", "10.0.0.0/8"),
        ("trusted_proxies: [proxy.acme.ai]", "E292", "no range"),
        ("trusted_proxies: []", "E114", "empty"),
        ("trusted_proxies: ['::/0']", "W296", "any address"),
        ("trusted_proxies: 10.0.0.1", None, ""),
    ],
)
def test_settings(tmp_path: Path, settings: str, code: str | None, words: str) -> None:
    told = found(tmp_path, KEYS, settings + "\n")
    assert [each[0] for each in told] == ([code] if code else [])
    assert all(words in each[2] for each in told)


def test_what_is_compiled(tmp_path: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(KEYS)
    document["keys"]["jwt"]["corp"] |= {
        "audience": ["llm", "api"],
        "claims": {
            "name": "https://acme.ai/name",
            "groups": ["realm", "roles"],
            "tags": {"cost": {"claim": ["groups", 0], "values": {"b": "two", "a": "one"}}},
        },
        "max_age": "1h",
        "revoked": {"subjects": ["bob"]},
    }
    document["keys"]["mtls"] = {
        "bot": {"uri": "spiffe://acme.ai/*", "org": "acme", "tags": {"team": "search"}}
    }
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (tmp_path / "engine.yaml").write_text(TLS)
    plan, _ = compile_workspace(tmp_path)
    assert plan is not None
    people = type(plan).load(plan.dump()).people()
    assert people.issuers == (
        Issuer(
            name="corp",
            issuer="https://login.acme.ai",
            audience=("llm", "api"),
            algorithms=("RS256", "ES256", "EdDSA"),
            tags={"team": "support"},
            take_name=Take(("https://acme.ai/name",)),
            take_groups=Take(("realm", "roles")),
            take_tags={"cost": Take(("groups", 0), (("b", "two"), ("a", "one")))},
            max_age_ms=3_600_000,
            subjects=("bob",),
        ),
    )
    assert people.certificates == (
        Certificate("bot", "uri", "spiffe://acme.ai/*", org="acme", tags={"team": "search"}),
    )
