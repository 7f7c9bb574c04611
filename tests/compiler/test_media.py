"""`media` of engine.yaml: what the plan holds of it, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compiler.pipeline import Compiled, compile_folder
from engine.plan.types import MediaFetch

ROUTES = "deployments: {a: {provider: openai, model: gpt-5}}\nroutes: {one: a}\n"


def compiled(folder: Path, settings: str) -> Compiled:
    (folder / "routes").mkdir()
    (folder / "routes" / "main.yaml").write_text(ROUTES)
    (folder / "engine.yaml").write_text(settings)
    return compile_folder(folder, None)


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ("", None),
        ("media: {fetch: any}\n", MediaFetch(("*",), False, 10_000)),
        (
            "media: {fetch: [Images.acme.ai, '*.cdn.acme.ai'], http: true, timeout: 3s}\n",
            MediaFetch(("images.acme.ai", "*.cdn.acme.ai"), True, 3_000),
        ),
    ],
)
def test_what_the_plan_holds(tmp_path: Path, settings: str, want: MediaFetch | None) -> None:
    found = compiled(tmp_path, settings)
    assert found.plan is not None, [str(d) for d in found.diagnostics]
    assert found.plan.manifest.settings.media == want


@pytest.mark.parametrize(
    "settings",
    [
        "media: {}", "media: {fetch: []}", "media: {fetch: all}", "media: {fetch: ['*']}",
        "media: {fetch: ['*acme.ai']}", "media: {fetch: [https://acme.ai]}", "media: {fetch: [acme.ai:443]}",
        "media: {fetch: [localhost]}",
    ],
)  # fmt: skip
def test_what_it_may_not_say(tmp_path: Path, settings: str) -> None:
    found = compiled(tmp_path, settings + "\n")
    assert found.plan is None
    assert [d.span.file for d in found.diagnostics if d.severity == "error"] == ["engine.yaml"]
