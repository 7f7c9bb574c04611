"""The generator, on two small wheels: how the sources are read and joined, and what the rules add."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.facts import genai
from engine.facts.__main__ import build, main, written

DATA = Path(__file__).with_name("data")


def wheel(folder: Path, name: str, version: str, inside: str, text: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(inside, text)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> tuple[Path, Path]:
    prices = (DATA / "genai_data.txt").read_text()
    facts = (DATA / "litellm.json").read_text()
    return (
        wheel(tmp_path, "genai_prices", "9.1", "genai_prices/data.py", prices),
        wheel(tmp_path, "litellm", "8.2", "litellm/model_prices_and_context_window_backup.json", facts),
    )


@pytest.fixture
def files(wheels: tuple[Path, Path]) -> dict[str, str]:
    return build(written(DATA / "sources.yaml"), *wheels, "2026-11-23")


@pytest.fixture
def acme(files: dict[str, str]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files["providers.d/facts/acme.json"])
    return data


ROWS: dict[str, Any] = {
    "big": {
        "context": 1000, "output": 100, "modalities": ["text", "image"],
        "can": ["tools", "parallel_tools", "json_object", "json_schema", "reasoning", "stream", "logprobs"],
        "sampling": "without_reasoning", "efforts": ["none", "low", "medium", "high"],
        "retires": "2027-05-01",
        "prices": [
            {"input": 2, "cached": 0.2, "cache_write_1h": 4, "output": 6,
             "tiers": [{"above": 100, "input": 4, "output": 8}, {"above": 500, "input": 4, "output": 9}],
             "source": "genai-prices", "filled": {"litellm": ["cached", "cache_write_1h"]}},
        ],
        "source": "litellm", "rules": [0],
    },
    "changing": {
        "context": 50, "modalities": ["text"], "can": ["stream"], "tokenizer": "t",
        "prices": [
            {"since": "2026-01-01", "input": 1, "output": 1, "source": "genai-prices"},
            {"since": "2027-01-01", "input": 3, "output": 3, "source": "genai-prices"},
        ],
        "differs": {"litellm": {"input": 1.2}}, "source": "litellm", "rules": [0],
    },
    "daily": {
        "modalities": ["text"], "can": ["tools", "json_object"], "thinking": "effort",
        "upstream": "responses", "tokenizer": "t",
        "prices": [
            {"input": 1, "output": 2, "source": "genai-prices"},
            {"hours": [{"from": "01:00", "to": "04:30", "days": [1, 2, 3, 4, 5]},
                       {"from": "06:00", "to": "10:00", "days": [1, 2, 3, 4, 5]}],
             "input": 2, "output": 4, "source": "genai-prices"},
        ],
        "source": "litellm", "rules": [1, 2, 0],
    },
    "stepped": {
        "prices": [{"input": 1, "output": 2, "reasoning": 8,
                    "tiers": [{"above": 32000, "input": 3, "output": 4}], "source": "litellm"}],
        "source": "litellm",
    },
    "off-peak": {
        "prices": [
            {"input": 3, "output": 3, "source": "litellm"},
            {"hours": [{"from": "00:00", "to": "01:00", "days": [1, 2]},
                       {"from": "10:00", "to": "00:00", "days": [1, 2]},
                       {"from": "00:00", "to": "00:00", "days": [6, 7]}],
             "input": 1, "output": 1, "source": "litellm"},
        ],
        "source": "litellm",
    },
    "embed": {
        "operation": "embeddings", "context": 512, "modalities": ["text"],
        "prices": [{"input": 0.1, "output": 0, "source": "litellm"}], "source": "litellm",
    },
    "rank": {
        "operation": "rerank", "modalities": ["text"],
        "prices": [{"input": 0, "output": 0, "request": 0.002, "source": "litellm"}], "source": "litellm",
    },
    "blank": {"source": "litellm"},
    "gift": {"prices": [{"input": 0, "output": 0, "source": "litellm"}], "source": "litellm"},
}  # fmt: skip


@pytest.mark.parametrize("model", ROWS)
def test_rows(acme: dict[str, Any], model: str) -> None:
    assert acme["models"][model] == ROWS[model]


def test_what_is_in_and_what_is_out(acme: dict[str, Any], files: dict[str, str]) -> None:
    assert list(acme["models"]) == sorted([*ROWS, "only-priced"])
    suffixed = json.loads(files["providers.d/facts/suffixed.json"])["models"]
    assert list(suffixed) == ["x/only-priced:y"]
    assert suffixed["x/only-priced:y"]["prices"] == [{"input": 1, "request": 0.005, "source": "genai-prices"}]


def test_a_model_that_is_like_another_has_its_facts_and_not_its_prices(acme: dict[str, Any]) -> None:
    row = acme["models"]["only-priced"]
    assert (row["context"], row["output"]) == (77, 100)
    assert row["prices"][0]["input"] == 1
    assert "retires" not in row


def test_sources_are_named(acme: dict[str, Any]) -> None:
    assert acme["sources"] == {
        "genai-prices": {"name": "genai-prices 9.1", "date": "2026-11-23", "licence": "MIT"},
        "litellm": {"name": "litellm 8.2", "date": "2026-11-23", "licence": "MIT"},
    }
    assert acme["rules"] == ["its page", "its other page", "its price page"]


def test_the_report_lists_what_is_further_apart_than_the_limit(files: dict[str, str]) -> None:
    rows = [line for line in files["docs/price-disagreements.md"].splitlines() if line.startswith("| acme")]
    assert rows == ["| acme | changing | input | 1 | 1.2 | 17 % |"]


def test_it_is_written_once_and_checked(
    wheels: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("engine.facts.__main__._SOURCES", DATA / "sources.yaml")
    (tmp_path / "docs").mkdir()
    argv = ["--genai-prices", str(wheels[0]), "--litellm", str(wheels[1]), "--date", "2026-11-23"]
    argv += ["--root", str(tmp_path)]
    assert main([*argv, "--check"]) == 1
    assert main(argv) == 0
    assert main([*argv, "--check"]) == 0
    (tmp_path / "providers.d/facts/stray.json").write_text("{}")
    (tmp_path / "providers.d/facts/acme.json").write_text("{}")
    capsys.readouterr()
    assert main([*argv, "--check"]) == 1
    assert capsys.readouterr().out.split() == [
        "differs", "providers.d/facts/acme.json", "differs", "providers.d/facts/stray.json",
    ]  # fmt: skip
    assert main(argv) == 0
    assert not (tmp_path / "providers.d/facts/stray.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Decimal(", "__import__('os').getpid(", "not data"),
        ("ClauseEquals(", "ClauseSounds(", "ClauseSounds"),
        ("tzinfo=datetime.UTC", "tzinfo=None", "not in UTC"),
        ("providers: list", "vendors: list", "has no `providers`"),
    ],
)
def test_a_package_of_another_shape_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    text = (DATA / "genai_data.txt").read_text().replace(old, new)
    package = wheel(tmp_path, "genai_prices", "9.1", "genai_prices/data.py", text)
    with pytest.raises(genai.UnreadableError, match=why):
        [model.takes("x") for models in genai.read(package).values() for model in models]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"litelm": ["acme"]}, "unknown keys: litelm"),
        ({"litellm": ["acme"], "strip": ["acme/"], "rules": [{"set": {"output": 1}}]}, "where it comes from"),
        ({"litellm": ["acme"], "rules": [{"sets": {}, "source": "s"}]}, "unknown keys: sets"),
        ({"genai-prices": ["acmee"]}, "acmee"),
    ],
)
def test_a_fault_in_the_sources_names_the_table(wheels: tuple[Path, Path], spec: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"the table acme: .*{why}"):
        build({"acme": spec}, *wheels, "2026-11-23")
