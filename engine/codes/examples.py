"""What the examples of codes are made of: the smallest workspaces that compile."""

from __future__ import annotations

#: A deployment, for examples that bring their own routes.
HERE = "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct}\n"
#: Two of them.
TWO = HERE + "  there: {provider: onnx, model: smollm2-135m-instruct, threads: 2}\n"
#: The smallest `routes/` file that serves something.
ROUTED = HERE + "routes:\n  chat: here\n"
#: A vendor with two regions, as a workspace's own file.
ACME = (
    "dialect: openai_chat\nauth: {bearer: env:ACME_API_KEY}\nregions:\n"
    "  us: {base_url: 'https://api.acme.ai/v1', residency: us}\n"
    "  eu: {base_url: 'https://eu.acme.ai/v1', residency: eu}\ndefault_region: us\ndrop: [logit_bias]\n"
    "models:\n  large: {context: 128k, output: 8k, can: [tools]}\n"
    "  small: {context: 8k, output: 1k, can: []}\n"
    "  able: {context: 8k, output: 1k, can: [prefill, stream]}\n"
)

#: A deployment of that vendor, routed to.
ACME_ROUTED = "deployments:\n  big: {provider: acme, model: large}\nroutes:\n  chat: big\n"
#: The smallest provider file.
PROVIDER = "dialect: openai_chat\nbase_url: https://api.acme.ai/v1\nauth: {bearer: env:ACME_API_KEY}\n"
#: What is kept of a client key that nobody has.
HASH = "hmac-sha256:" + "5f1c" * 16


def with_acme(routes: str, **files: str) -> dict[str, str]:
    """A workspace of `routes`, the vendor `acme`, and `files` (`policies__keys=` is policies/keys.yaml)."""
    named = {path.replace("__", "/") + ".yaml": text for path, text in files.items()}
    return {"providers.d/acme.yaml": ACME, "routes/main.yaml": routes, **named}


def with_provider(text: str) -> dict[str, str]:
    """A workspace whose one vendor's file is `text`."""
    return {"providers.d/acme.yaml": text, "routes/main.yaml": ACME_ROUTED}


def with_dialect(text: str) -> dict[str, str]:
    """A workspace with a dialect of its own: OpenAI's, with `text` put over it."""
    provider = PROVIDER.replace("openai_chat", "acme_chat")
    return {"providers.d/dialects/acme_chat.yaml": "extends: openai_chat\n" + text, **with_provider(provider)}
