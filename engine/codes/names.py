"""Names, deployments and the graph of nodes (`compiler/resolve`, `lower_deployment`, `graph_size`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HASH, HERE, TWO, with_acme

CODES = (
    Code(
        "E210",
        "unknown-name",
        why="A name is used that nothing is called by. It is mostly a typo, or the definition was removed.",
        fix="Correct the name, or define it. Routes cannot be used as nodes: name what their `start` names.",
        bad=HERE + "routes:\n  chat: hear\n",
        good=HERE + "routes:\n  chat: here\n",
    ),
    Code(
        "E211",
        "name-of-two",
        why="A deployment and a node have the same name. `use` names either, so it would mean two things.",
        fix="Rename one of them.",
        bad=HERE + "nodes:\n  here: {respond: Closed.}\nroutes:\n  chat: here\n",
        good=HERE
        + "nodes:\n  closed: {respond: Closed.}\nroutes:\n  chat: {start: {fallback: [here, closed]}}\n",
    ),
    Code(
        "E212",
        "cycle",
        why="A node leads back to itself, so a request could walk forever. A route graph has no loops.",
        fix="Remove one of the uses, or use a deployment instead.",
        bad=HERE + "nodes:\n  a: {fallback: [here, b]}\n  b: {use: a}\nroutes:\n  chat: a\n",
        good=TWO + "nodes:\n  a: {fallback: [here, b]}\n  b: {use: there}\nroutes:\n  chat: a\n",
    ),
    Code(
        "E213",
        "unknown-provider",
        why="A deployment, a credential or a policy's `residency` names a provider that is no file in "
        "providers.d/.",
        fix="Correct the name (`engine providers list` shows the shipped ones), or add "
        "providers.d/NAME.yaml.",
        bad="deployments:\n  here: {provider: onyx, model: smollm2-135m-instruct}\nroutes:\n  chat: here\n",
        good=HERE + "routes:\n  chat: here\n",
    ),
    Code(
        "E214",
        "foreign-credential",
        why="A deployment would show one vendor's credential to another.",
        fix="Name a credential of the deployment's own provider.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: other}\n"
            "credentials:\n  other: {provider: onnx, secret: env:OTHER_KEY}\nroutes:\n  chat: big\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu, credentials: mine}\n"
            "credentials:\n  mine: {provider: acme, secret: env:MY_KEY}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E215",
        "unknown-model",
        why="A group or a policy allows a model that no route takes, so it allows nothing.",
        fix="Write a name that clients ask for: a route's name, or one of its `match.models`.",
        bad=HERE + "routes:\n  chat: here\ngroups:\n  ci: {models: [chatt]}\n",
        good=HERE + "routes:\n  chat: here\ngroups:\n  ci: {models: [chat]}\n",
    ),
    Code(
        "E216",
        "undeclared-key",
        why="A client key carries an organisation or a tag that is not declared.",
        fix="Declare it under `keys`, or correct the client key.",
        bad=HERE + "routes:\n  chat: here\nkeys:\n  orgs: [acme]\n  clients:\n"
        f'    bot: {{hash: "{HASH}", org: acne}}\n',
        good=HERE + "routes:\n  chat: here\nkeys:\n  orgs: [acme]\n  clients:\n"
        f'    bot: {{hash: "{HASH}", org: acme}}\n',
    ),
    Code(
        "W246",
        "key-lacks-tag",
        why="A client key lacks a tag that every key must carry, so each of its requests is refused with "
        "403.",
        fix="Give it the tag.",
        bad=HERE + "routes:\n  chat: here\nkeys:\n  tags:\n    team: {required: true}\n  clients:\n"
        f'    bot: {{hash: "{HASH}"}}\n',
        good=HERE + "routes:\n  chat: here\nkeys:\n  tags:\n    team: {required: true}\n  clients:\n"
        f'    bot: {{hash: "{HASH}", tags: {{team: a}}}}\n',
    ),
    Code(
        "E217",
        "unknown-region",
        why="The provider has no such region, or it has several and the deployment names none.",
        fix="Name one of the provider's regions.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: ue}\nroutes:\n  chat: big\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E218",
        "model-not-listed",
        why="The provider file lists its models and this is none of them, so nothing is known of its "
        "context, its price and what it can do.",
        fix="Correct the name, or add the model in providers.d/ with `extends`.",
        bad=with_acme(
            "deployments:\n  big: {provider: acme, model: lage, region: eu}\nroutes:\n  chat: big\n"
        ),
        good=with_acme(
            "deployments:\n  big: {provider: acme, model: large, region: eu}\nroutes:\n  chat: big\n"
        ),
    ),
    Code(
        "E245",
        "graph-too-large",
        why="A named node stands in a route's tree wherever it is used, so nodes that use one another "
        "several times multiply. A tree of more than 10,000 nodes or 100 levels is refused before it "
        "is built.",
        fix="Use named nodes at fewer places.",
        bad=HERE
        + "nodes:\n"
        + "".join(f"  n{i}: {{fallback: [n{i + 1}, n{i + 1}]}}\n" for i in range(40))
        + "  n40: here\nroutes:\n  chat: n0\n",
        good=HERE + "nodes:\n  n0: n1\n  n1: here\nroutes:\n  chat: n0\n",
    ),
)
