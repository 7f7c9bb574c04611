"""Execution providers: what is ruled out, what is tried, and that the CPU is never used unasked."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest
from asking import answer, ask
from conftest import Starter

from engine.local import launch as launching
from engine.local import process
from engine.local.errors import ModelError
from engine.local.model import LocalModel
from engine.local.providers import check_names, check_variants, installed_variants, open_model, rule_out

CPU, CUDA, WINML = "onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-winml"


@pytest.mark.parametrize(
    ("provider", "variant", "platform", "why"),
    [
        ("cpu", CPU, "linux", None),
        ("cpu", CUDA, "linux", None),
        ("cuda", CUDA, "linux", None),
        ("cuda", CUDA, "win32", None),
        ("cuda", CPU, "linux", "local-cuda"),
        ("cuda", CPU, "darwin", "macOS"),
        ("directml", CPU, "linux", "Windows only"),
        ("directml", CPU, "win32", "local-windows"),
        ("directml", WINML, "win32", None),
    ],
)
def test_what_is_known_without_trying(provider: str, variant: str, platform: str, why: str | None) -> None:
    found = rule_out(provider, variant, platform)
    assert (found is None) if why is None else (why in (found or ""))


def test_names_and_variants() -> None:
    assert check_names([]) == ("cpu",)
    assert check_names(["cuda", "cpu"]) == ("cuda", "cpu")
    with pytest.raises(ModelError, match="'cdua'") as caught:
        check_names(["cdua"])
    assert 'did you mean "cuda"' in caught.value.help
    with pytest.raises(ModelError) as caught:
        check_variants([CPU, CUDA])
    assert caught.value.code == "variants"
    assert "pip uninstall -y onnxruntime-genai onnxruntime-genai-cuda" in caught.value.help
    with pytest.raises(ModelError) as caught:
        check_variants([])
    assert caught.value.code == "extra_missing"
    assert check_variants(installed_variants()) in installed_variants()


async def test_skipped_entries_are_told(started: Starter, canned_model: Path) -> None:
    status = (await started(canned_model, ("directml", "cuda", "cpu"))).status()
    assert status.provider == "cpu"
    assert [entry["provider"] for entry in status.skipped] == ["directml", "cuda"]
    assert all(entry["why"] for entry in status.skipped)


async def test_never_the_cpu_unasked(canned_model: Path) -> None:
    model = LocalModel("m", canned_model, ["directml", "cuda"])
    with pytest.raises(ModelError, match="runs on none of directml, cuda") as caught:
        await model.start()
    assert caught.value.code == "no_provider"
    assert model.status().state == "failed"
    assert "cuda" in str(model.status().why)
    assert (await answer(model, ask())).error["failure"] == "connect"
    await model.stop()


async def test_a_folder_for_each_provider(canned_model: Path) -> None:
    with pytest.raises(ModelError, match="cpu: `path` has no folder for it"):
        await LocalModel("m", {"cuda": canned_model}, ["cpu"]).start()
    model = LocalModel("m", {"cpu": canned_model}, ["cuda", "cpu"])
    await model.start()
    assert model.status().provider == "cpu"
    await model.stop()


class FakeGenAI:
    """Just enough of the module to see what a provider is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, *(a for a in arguments if not isinstance(a, FakeGenAI)), *named.items()))
            return self

        return call


def test_a_provider_builds_the_model_and_says_a_token() -> None:
    og = FakeGenAI()
    open_model(og, "directml", "folder", 2)
    names = [call[0] for call in og.calls]
    assert og.calls[:3] == [("Config", "folder"), ("clear_providers",), ("append_provider", "dml")]
    assert '"intra_op_num_threads": 2' in og.calls[3][1]
    assert names.index("Model") < names.index("append_tokens") < names.index("generate_next_token")
    og = FakeGenAI()
    open_model(og, "cpu", "folder", None)
    assert not {"append_provider", "overlay"} & {call[0] for call in og.calls}


#: A worker whose first provider kills or hangs its process, as a driver may; the rest is the real one.
BAD_DRIVER = """
import sys, os, time
from engine.local import providers, worker
real = providers.open_model
def open_model(og, provider, folder, threads):
    if provider == "cuda":
        {does}
    return real(og, provider, folder, threads)
providers.open_model = open_model
worker.main()
"""


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("os.abort()", "SIGABRT"),
        ("time.sleep(60)", "no sign for 3 s"),
        ("raise RuntimeError('no kernel')", "no kernel"),
    ],
)
async def test_a_provider_that_kills_or_hangs_is_skipped(
    canned_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(BAD_DRIVER).format(does=does))
    loop = asyncio.get_running_loop()
    spawn = loop.subprocess_exec

    def substitute(protocol: Any, python: str, *_: str, env: dict[str, str]) -> Any:
        return spawn(protocol, python, str(script), env=env | {"PYTHONPATH": str(process.ROOT)})

    monkeypatch.setattr(loop, "subprocess_exec", substitute)
    monkeypatch.setattr(launching, "rule_out", lambda provider, variant: None)
    launched = await launching.launch(canned_model, ["cuda", "cpu"], threads=None, live=1, trial_s=3)
    assert launched.ready["provider"] == "cpu"
    assert [entry["provider"] for entry in launched.skipped] == ["cuda"]
    assert why in launched.skipped[0]["why"]
    await launched.process.stop(2)


async def test_a_damaged_folder_does_not_start(canned_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in canned_model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.onnx").write_bytes(b"garbage")  # no manifest: only trying finds it
    with pytest.raises(ModelError, match="cpu: RuntimeError") as caught:
        await LocalModel("m", broken).start()
    assert caught.value.code == "no_provider"
