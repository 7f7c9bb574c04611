"""Provider files and the deployments that use them: settings, addresses, formats, retired services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.compiler.pipeline import compile_folder

URL = "base_url: https://a.example\n"
AZURE = """
dialect: openai_chat
auth: none
base_url: https://${{ settings.resource }}.openai.azure.example/v1/${{ settings.project }}
settings:
  resource: {about: "The resource's name.", pattern: "[a-z0-9-]+", example: acme-eu}
  project: {about: The project., default: main}
"""


def found(tmp_path: Path, provider: str, deployment: str) -> list[Any]:
    one = f"{{provider: acme, model: m{deployment}}}"
    files = {
        "providers.d/acme.yaml": provider,
        "routes/main.yaml": f"deployments:\n  one: {one}\nroutes: {{r: one}}\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return [d for d in compile_folder(tmp_path).diagnostics if d.severity == "error"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", ["needs the setting `resource`", "The resource's name", "acme-eu"]),
        ("{resuorce: a, resource: b}", ["no setting `resuorce`", "did you mean `resource`"]),
        ("{resource: A_B}", ["`A_B` cannot be the setting `resource`", "must match [a-z0-9-]+"]),
        ("{resource: '-'}", ["a host holds letters"]),
        ("{resource: a, project: ../x}", ["one segment of a path"]),
        ("{resource: a, project: '..'}", ["one segment of a path"]),
        ("{resource: a, project: 'x?y=1'}", ["one segment of a path"]),
    ],
)
def test_settings_are_named_with_what_they_are_for(tmp_path: Path, settings: str, words: list[str]) -> None:
    told = found(tmp_path, AZURE, f", settings: {settings}" if settings else "")
    assert [d.code for d in told] == ["E415"]
    for word in words:
        assert word in f"{told[0].message} {told[0].help}"


@pytest.mark.parametrize(
    "value", ["evil.example/", "a@evil.example", "a.b:1", "a..b", ".a", "a.", "a b", "a#"]
)
def test_a_setting_cannot_lead_a_host_elsewhere(tmp_path: Path, value: str) -> None:
    provider = AZURE.replace(', pattern: "[a-z0-9-]+"', "")
    assert [d.code for d in found(tmp_path, provider, f", settings: {{resource: '{value}'}}")] == ["E415"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("base_url: 'https://${{ env.X }}.a.example'\n", "E416", "more than a region"),
        ("base_url: 'http://${{ settings.h }}:80'\nsettings: {h: {about: x}}\n", "E403", "settings decide"),
        ("base_url: 'https://a.example/${{ settings.nope }}'\n", "E414", "not declared"),
        (
            f"{URL}headers: {{x: '${{{{ target.settings.nope }}}}'}}\n",
            "E414",
            "not declared",
        ),
        ("regions: {eu: {residency: eu}}\n", "E402", "`eu` does not say where"),
        (
            f"{URL}speaks: [{{dialect: openai_chatt, when: 'true'}}]\n",
            "E401",
            "no dialect",
        ),
        (
            f"{URL}speaks: [{{dialect: openai_chat, when: request.nope}}]\n",
            "E302",
            "nope",
        ),
        (f"{URL}adjust: [{{drop: [a], clamp: {{b: [0, 1]}}}}]\n", "E107", "both"),
        (f"{URL}adjust: [{{clamp: {{top_p: [1, 0]}}}}]\n", "E112", "above"),
        (f"{URL}adjust: [{{map: {{reasoning.efort: {{a: b}}}}}}]\n", "E411", "efort"),
    ],
)
def test_faults_of_provider_files(tmp_path: Path, text: str, code: str, words: str) -> None:
    told = found(tmp_path, f"dialect: openai_chat\nauth: none\n{text}", "")
    assert code in [d.code for d in told], [str(d) for d in told]
    assert any(words in d.message and d.span.file.endswith("acme.yaml") for d in told if d.code == code)


def test_a_retired_service_says_what_to_use(tmp_path: Path) -> None:
    told = found(tmp_path, "retired: It closed; its models are at beta.\naliases: [oldacme]\n", "")
    assert [(d.code, d.help) for d in told] == [("E418", "It closed; its models are at beta.")]


def test_the_plan_holds_the_formats_that_can_be_reached(tmp_path: Path) -> None:
    provider = (
        AZURE.replace("resource }}", "resource }}", 1) + "speaks: [{dialect: anthropic_messages, root: /a}]\n"
    )
    assert found(tmp_path, provider, ", settings: {resource: blue}") == []
    plan = compile_folder(tmp_path).plan
    assert plan is not None
    assert {"openai_chat", "anthropic_messages"} <= set(plan.manifest.dialects)
    deployment = plan.deployment("one")
    assert deployment.base_url == "https://blue.openai.azure.example/v1/main"
    assert deployment.urls == ("https://blue.openai.azure.example/a",)
    assert dict(deployment.settings) == {"resource": "blue", "project": "main"}


@pytest.mark.parametrize(
    ("model", "residency"),
    [
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "eu"),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "eu"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "global"),
    ],
)
def test_a_profile_leaves_the_region_that_is_called(tmp_path: Path, model: str, residency: str) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(
        f"deployments:\n  one: {{provider: bedrock, model: '{model}', region: eu-central-1}}\n"
        "routes: {r: {start: one, residency: [eu]}}\n"
    )
    compiled = compile_folder(tmp_path)
    assert (compiled.plan is not None) is (residency == "eu"), list(map(str, compiled.diagnostics))
    if compiled.plan is not None:
        deployment = compiled.plan.deployment("one")
        assert deployment.residency == residency
        assert deployment.facts.prices, "the facts are those of the model behind the profile"
