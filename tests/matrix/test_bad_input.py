"""What is wrong is said, with a code and a place: bodies of every client format, and the files of vendors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from dialect import Shipped
from fakes import DIALECTS, Fakes
from running import Running

from engine.compiler.pipeline import compile_folder

HERE: Final = Path(__file__).parent
CLIENTS: Final = yaml.safe_load((HERE / "bad_clients.yaml").read_text())
FILES: Final = yaml.safe_load((HERE / "bad_files.yaml").read_text())
HOSTILE: Final = yaml.safe_load((HERE.parent / "expr" / "data" / "hostile.yaml").read_text())
ATTACKS: Final = [each for kind in ("ssti", "burners") for each in HOSTILE[kind]]


def message_of(form: str, told: Any) -> str:
    """The message of an error, whose shape must be that of the client's format."""
    match form:
        case "openai":
            assert set(told["error"]) == {"message", "type", "param", "code"}
            assert told["error"]["type"] == "invalid_request_error"
            return f"{told['error']['param']}: {told['error']['message']}"
        case "anthropic":
            assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
            return str(told["error"]["message"]) + str(told["error"]["details"])
        case "google":
            assert (told["error"]["code"], told["error"]["status"]) == (400, "INVALID_ARGUMENT")
            return str(told["error"])
        case "aws":
            assert told["__type"] == "ValidationException"
            return str(told["message"])
        case "cohere":
            return str(told["message"])
        case _:
            assert isinstance(told["error"], str)
            return str(told["error"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", CLIENTS, ids=[f"{row['path']} {row['at']}" for row in CLIENTS])
async def test_a_malformed_body(row: dict[str, Any], sidecar: Running, fakes: Fakes) -> None:
    answer = await sidecar.client.post(row["path"], json=row["body"])
    assert answer.status_code == 400, answer.text
    assert row["at"] in message_of(row["form"], answer.json())
    assert fakes.calls == []


def test_every_path_of_a_client_is_in_the_table() -> None:
    paths = set()
    for name in DIALECTS:
        bound = Shipped(name).bound
        for plan in (bound.operation(operation).plan for operation in bound.operations):
            paths |= {*plan.ingress, *plan.stream_ingress}
    asked = {row["path"].replace("/models/m:", "/models/{model}:") for row in CLIENTS}
    assert paths == {path.replace("/model/m/", "/model/{model}/") for path in asked}


def workspace(folder: Path, *, dialect: str = "", provider: str = "", lossless: bool = False) -> Path:
    """A vendor of a dialect that is OpenAI's with `dialect` over it."""
    strict = ", strict: lossless" if lossless else ""
    files = {
        "providers.d/dialects/acme_chat.yaml": f"extends: openai_chat\n{dialect}",
        "providers.d/acme.yaml": PROVIDER + provider,
        "routes/main.yaml": "deployments:\n  big: {provider: acme, model: '*'}\nroutes:\n"
        f"  chat: {{start: big{strict}}}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("row", FILES, ids=[row["name"] for row in FILES])
def test_a_faulty_file(row: dict[str, Any], tmp_path: Path) -> None:
    given = {name: row[name] for name in ("dialect", "provider", "lossless") if name in row}
    out = compile_folder(workspace(tmp_path, **given)).diagnostics
    found = [each for each in out if each.code == row["code"] and row["says"] in each.message]
    assert found, [str(each) for each in out]
    span = found[0].span
    assert span is not None
    kind = "lossless" if "lossless" in row else next(iter(given))
    assert span.file == row.get("in", PLACES[kind])
    assert row.get("at", f"{span.line}:{span.column}") == f"{span.line}:{span.column}"


#: The file at fault.
PLACES: Final = {
    "dialect": "providers.d/dialects/acme_chat.yaml",
    "provider": "providers.d/acme.yaml",
    "lossless": "routes/main.yaml",
}
PROVIDER: Final = "dialect: acme_chat\nbase_url: https://api.acme.ai/v1\nauth: none\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("place", ["a dialect's template", "headers of a provider", "rules of a provider"])
def test_attacks_are_errors_where_they_stand(place: str, tmp_path: Path) -> None:
    """Each line of the file is an attack, and each has an error of its own there."""
    lines = [quoted(f"${{{{ {attack} }}}}") for attack in ATTACKS]
    if place == "a dialect's template":
        rows = [f"        x{number}: {line}" for number, line in enumerate(lines)]
        text = "operations:\n  chat:\n    request:\n      write:\n" + "\n".join(rows)
        given, first = {"dialect": text + "\n"}, 6
    elif place == "headers of a provider":
        rows = [f"  x-{number}: {line}" for number, line in enumerate(lines)]
        given, first = {"provider": "headers:\n" + "\n".join(rows) + "\n"}, 5
    else:
        rows = [f"  - {{refuse: {quoted(attack)}, why: no}}" for attack in ATTACKS]
        given, first = {"provider": "adjust:\n" + "\n".join(rows) + "\n"}, 5
    compiled = compile_folder(workspace(tmp_path, **given))
    assert compiled.plan is None
    found = {each.span.line for each in compiled.diagnostics if each.code.startswith("E3") and each.span}
    missing = [ATTACKS[number] for number in range(len(ATTACKS)) if first + number not in found]
    assert missing == []
