"""Residency, policies and credentials: who may send what where (`compiler/checks/`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HASH, HERE, with_acme

#: A vendor that wants OAuth's client credentials.
OAUTH = (
    "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\nauth:\n  oauth2_client_credentials:\n"
    "    {token_url: 'https://login.acme.ai/token', client_id: env:ACME_CLIENT,"
    " client_secret: env:ACME_SECRET}\n"
)

CODES = (
    Code(
        "E219",
        "no-credential",
        why="The provider asks for a credential, its file names none by default, and the deployment has "
        "none.",
        fix="Define a credential and name it in the deployment's `credentials`.",
        bad={
            "providers.d/acme.yaml": "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\n"
            "auth: {header: {name: x-api-key}}\n",
            "routes/main.yaml": "deployments:\n  big: {provider: acme, model: large}\nroutes:\n  chat: big\n",
        },
        good={
            "providers.d/acme.yaml": "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\n"
            "auth: {header: {name: x-api-key}}\n",
            "routes/main.yaml": "deployments:\n  big: {provider: acme, model: large, credentials: mine}\n"
            "credentials:\n  mine: {provider: acme, secret: env:ACME_KEY}\nroutes:\n  chat: big\n",
        },
    ),
    Code(
        "E224",
        "residency",
        why="A route has a residency, and one of its targets may process data elsewhere, or nobody knows "
        "where. Under a policy, only the policies' own `residency:` counts for providers of the "
        "workspace.",
        fix="Take a region that is allowed, another target, or allow the place.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n"
            "  chat: {residency: [eu], start: big}\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n"
            "  chat: {residency: [eu], start: big}\n"
        ),
    ),
    Code(
        "E262",
        "cache-scope",
        why="A cache outside policies/ is shared by something that is not of the client key: its answers "
        "would go from one organisation to another.",
        fix="Share by `key.org` or something within it, or define the cache as a named node in policies/.",
        bad=HERE + "routes:\n  chat: {start: {cache: here, exact: 1h, scope_by: request.user}}\n",
        good=HERE + "routes:\n  chat: {start: {cache: here, exact: 1h, scope_by: key.id}}\n",
    ),
    Code(
        "E225",
        "region-not-named",
        why="A residency applies to a deployment that takes its provider's default region. The default is "
        "allowed now, and a new version of the provider file may change it.",
        fix="Write the region on the deployment.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large}\nroutes:\n"
            "  chat: {residency: [us], start: big}\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n"
            "  chat: {residency: [us], start: big}\n"
        ),
    ),
    Code(
        "N226",
        "default-region",
        why="A deployment runs in its provider's default region, because it names none.",
        fix="Nothing, if that is meant; name the region to keep it.",
        bad=with_acme("deployments:\n  big: {provider: acme, model: large}\nroutes:\n  chat: big\n"),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E227",
        "looser-than-policy",
        why="A route allows more than a policy does. Routes have the floor without writing it; what they "
        "write may only be stricter.",
        fix="Allow at most what the policy does, or leave it out.",
        bad={
            "policies/floor.yaml": "require:\n  home: {residency: [on_host]}\n",
            "routes/main.yaml": HERE + "routes:\n  chat: {residency: [on_host, us], start: here}\n",
        },
        good={
            "policies/floor.yaml": "require:\n  home: {residency: [on_host]}\n",
            "routes/main.yaml": HERE + "routes:\n  chat: {residency: [on_host], start: here}\n",
        },
    ),
    Code(
        "E239",
        "policy-reaches-out",
        why="What a policy names or leads to is defined outside of policies/, where anybody may change it.",
        fix="Define it in policies/, too.",
        bad={
            "policies/floor.yaml": "routes:\n  safe: here\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
        good={
            "policies/floor.yaml": HERE + "routes:\n  safe: here\n",
            "routes/main.yaml": "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E240",
        "policy-secret",
        why="A credential outside of policies/ names a secret that a policies' credential holds, and so "
        "would show it without that credential's conditions.",
        fix="Use the policies' credential, or another secret.",
        bad=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:ACME_KEY}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n",
            policies__keys="credentials:\n  safe: {provider: acme, secret: env:ACME_KEY}\n",
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: safe}\nroutes:\n"
            "  chat: big\n",
            policies__keys="credentials:\n  safe: {provider: acme, secret: env:ACME_KEY}\n",
        ),
    ),
    Code(
        "E246",
        "credential-misfit",
        why="A credential gives what its provider's `auth` does not take, and it is not ignored in silence.",
        fix="Give it what the scheme takes; the message lists it.",
        bad=with_acme(
            "credentials:\n  mine: {provider: acme, profile: team-a}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n"
        ),
        good=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:ACME_KEY}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n"
        ),
    ),
    Code(
        "E247",
        "credential-incomplete",
        why="A credential of the workspace is taken whole: what it lacks is not filled in from the provider "
        "file's defaults, so that one team's key never stands in for another's.",
        fix="Give it all that the scheme needs; the message lists it.",
        bad={
            "providers.d/acme.yaml": OAUTH,
            "routes/main.yaml": "credentials:\n  mine: {provider: acme, client_id: router}\n"
            "deployments:\n  big: {provider: acme, model: large, credentials: mine}\nroutes:\n  chat: big\n",
        },
        good={
            "providers.d/acme.yaml": OAUTH,
            "routes/main.yaml": "credentials:\n"
            "  mine: {provider: acme, client_id: router, client_secret: env:S}\n"
            "deployments:\n  big: {provider: acme, model: large, credentials: mine}\nroutes:\n  chat: big\n",
        },
    ),
    Code(
        "E242",
        "only-reads-request",
        why="`only` on a credential decides by whose request it is, and reads `key.*` only.",
        fix="Put what the request holds into a `switch`.",
        bad=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: request.stream}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\nroutes:\n"
            "  chat: big\n"
        ),
        good=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.org == \"acme\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  orgs: [acme]\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E287",
        "key-twice",
        why="Two clients have one key, so whoever shows it would be the one or the other.",
        fix="Make each a key of its own: `engine keys new --print`.",
        bad=HERE + "routes:\n  chat: here\nkeys:\n  clients:\n"
        f'    a: {{hash: "{HASH}"}}\n    b: {{hash: "{HASH}"}}\n',
        good=HERE + "routes:\n  chat: here\nkeys:\n  clients:\n"
        f'    a: {{hash: "{HASH}"}}\n    b: {{hash: "{HASH.replace("5f", "6e")}"}}\n',
    ),
    Code(
        "E288",
        "policy-reads-request",
        why="`when` of a policy or a group decides for whom it holds, and reads `key.*` only. What a client "
        "writes into a request must not turn a policy off.",
        fix="Put what the request holds into `match.when` or a `switch`.",
        bad=HERE + "routes:\n  chat: here\ngroups:\n  loud: {when: request.stream, models: [chat]}\n",
        good=HERE + "routes:\n  chat: here\nkeys:\n  orgs: [acme]\n"
        "groups:\n  mine: {when: 'key.org == \"acme\"', models: [chat]}\n",
    ),
    Code(
        "E289",
        "nobody-left-by-policy",
        why="A policy skips targets for the keys it covers, and on this route it "
        "skips all of them: such a key could ask, and would always get 503.",
        fix="Give the route a target that is allowed, or a `match.when` that leaves those keys out.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n  chat: big\n"
            "keys:\n  orgs: [acme, globex]\n",
            policies__eu="require:\n  eu: {when: 'key.org == \"acme\"', residency: [eu]}\n"
            "residency: {acme.us: us, acme.eu: eu}\n",
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: us}\nroutes:\n"
            "  chat: {start: big, match: {when: 'key.org == \"globex\"'}}\n"
            "keys:\n  orgs: [acme, globex]\n",
            policies__eu="require:\n  eu: {when: 'key.org == \"acme\"', residency: [eu]}\n"
            "residency: {acme.us: us, acme.eu: eu}\n",
        ),
    ),
    Code(
        "E298",
        "state-not-shared",
        why="A policy requires a state store that all hosts share, and this one is of one process or one "
        "host: each would count by itself.",
        fix="Name one in engine.yaml: `state: redis://HOST:6379/0`.",
        bad={
            "engine.yaml": "state: memory\n",
            "policies/floor.yaml": "require:\n  one: {state: shared}\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
        good={"engine.yaml": "state: memory\n", "routes/main.yaml": HERE + "routes:\n  chat: here\n"},
    ),
    Code(
        "E243",
        "tag-not-required",
        why="`only` of a credential, or `when` of a policy, reads a tag that a client key may lack. A key "
        "without it would meet the condition, or fail it, by accident.",
        fix="Declare the tag with `required: true`.",
        bad=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.tags.team == \"a\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  tags:\n    team: [a, b]\nroutes:\n  chat: big\n"
        ),
        good=with_acme(
            "credentials:\n  mine: {provider: acme, secret: env:K, only: 'key.tags.team == \"a\"'}\n"
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "keys:\n  tags:\n    team: {values: [a, b], required: true}\nroutes:\n  chat: big\n"
        ),
    ),
)
