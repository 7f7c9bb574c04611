"""Provisioning: what a snapshot binds, takes over, and tells as missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.control.provision import provision
from engine.plan.plan import Plan
from engine.upstream.protocol import HttpCall, HttpReply, TransportError

VENDOR = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
price: free
models: {{{model}: {{}}}}
"""


class NoNetwork:
    """A transport that must not be used, and may not be closed by whoever did not make it."""

    closed = False

    async def send(self, call: HttpCall) -> HttpReply:
        raise TransportError("connect", "no network here")

    async def close(self) -> None:
        self.closed = True


def compiled(root: Path, routes: str, **providers: str) -> Plan:
    for folder in ("routes", "providers.d"):
        (root / folder).mkdir(exist_ok=True)
    (root / "routes" / "r.yaml").write_text(routes)
    for name, model in providers.items():
        (root / "providers.d" / f"{name}.yaml").write_text(VENDOR.format(model=model))
    plan, diagnostics = compile_workspace(root)
    assert plan is not None, diagnostics
    return plan


def two(model: str) -> str:
    return (
        f"deployments: {{a: {{provider: acme, model: {model}}}, b: {{provider: globex, model: m}}}}\n"
        "routes: {r: {start: {fallback: [a, b]}}}\n"
    )


async def test_what_did_not_change_is_taken_over(tmp_path: Path) -> None:
    transport = NoNetwork()
    old = await provision(compiled(tmp_path, two("m1"), acme="m1", globex="m"), transport=transport)
    other_model = compiled(tmp_path, two("m2"), acme="m2", globex="m")
    new = await provision(other_model, transport=transport, previous=old)
    assert new.revision != old.revision
    assert new.upstreams == old.upstreams  # a deployment is no part of what calls its provider
    acme = tmp_path / "providers.d" / "acme.yaml"
    acme.write_text(acme.read_text().replace("127.0.0.1:9", "127.0.0.1:10"))
    plan, _ = compile_workspace(tmp_path)
    assert plan is not None
    third = await provision(plan, transport=transport, previous=new)
    assert third.upstreams["globex"] is old.upstreams["globex"]
    assert third.upstreams["acme"] is not old.upstreams["acme"]
    for snapshot in (old, new, third):
        await snapshot.drain()
    assert not transport.closed


async def test_a_bound_dialect_is_taken_over_where_it_is_the_same(tmp_path: Path) -> None:
    own = tmp_path / "providers.d" / "dialects" / "openai_chat.yaml"
    transport = NoNetwork()
    old = await provision(compiled(tmp_path, two("m1"), acme="m1", globex="m"), transport=transport)
    same = await provision(
        compiled(tmp_path, two("m2"), acme="m2", globex="m"), transport=transport, previous=old
    )
    assert same.dialect("openai_chat") is old.dialect("openai_chat")
    own.parent.mkdir()
    own.write_text("extends: openai_chat\ntitle: ours\nfinish: {weary: stop}\n")
    new = await provision(
        compiled(tmp_path, two("m2"), acme="m2", globex="m"), transport=transport, previous=same
    )
    assert new.dialect("openai_chat") is not old.dialect("openai_chat")
    for snapshot in (old, same, new):
        await snapshot.close()


async def test_the_engines_own_transport_lives_as_long_as_a_snapshot_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[NoNetwork] = []

    def make() -> NoNetwork:
        made.append(NoNetwork())
        return made[-1]

    monkeypatch.setattr("engine.upstream.direct_transport.DirectTransport", make)
    plan = compiled(tmp_path, two("m1"), acme="m1", globex="m")
    old = await provision(plan)
    new = await provision(plan, previous=old)
    await old.drain()
    assert [transport.closed for transport in made] == [False]
    await new.drain()
    assert [transport.closed for transport in made] == [True]


LOCAL = """
deployments:
  tiny: {{provider: onnx, model: canned, path: {path}, threads: 1}}
  gone: {{provider: onnx, model: smollm2-135m-instruct}}
routes:
  r: {{start: {{fallback: [gone, tiny]}}, admit: {{output: 16}}}}
"""


@pytest.fixture
def canned_here(canned_model: Path, tmp_path: Path) -> Path:
    """A workspace with the model's folder beside its files."""
    (tmp_path / "model").symlink_to(canned_model)
    return tmp_path


async def test_local_models(canned_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_MODELS", str(canned_here / "store"))
    plan = compiled(canned_here, LOCAL.format(path="model"))
    first = await provision(plan, root=canned_here)
    try:
        assert set(first.missing) == {"gone"}
        assert "engine models add smollm2-135m-instruct" in first.missing["gone"]
        assert first.transport is None
    finally:
        await first.close()
    assert first.upstreams == {}


async def test_a_loaded_model_is_taken_over(canned_here: Path) -> None:
    routes = LOCAL.format(path="model").replace(
        "  gone: {provider: onnx, model: smollm2-135m-instruct}\n", ""
    )
    plan = compiled(canned_here, routes.replace("[gone, tiny]", "[tiny]"))
    first = await provision(plan, root=canned_here)
    second = await provision(plan, root=canned_here, previous=first)
    assert second.upstreams["onnx"] is first.upstreams["onnx"]
    await first.drain()
    model: Any = next(iter(second.upstreams["onnx"].value._loaded.values())).model  # type: ignore[attr-defined]
    assert model.status().state == "ready"
    await second.drain()
    assert model.status().state == "stopped"


async def test_a_fault_on_the_way_closes_what_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compiled(tmp_path, two("m1"), acme="m1", globex="m")
    transport = NoNetwork()
    monkeypatch.setattr("engine.upstream.direct_transport.DirectTransport", lambda: transport)

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("engine.upstream.formats.http_upstream", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        await provision(plan)
    assert transport.closed
