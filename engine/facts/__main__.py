"""`python -m engine.facts`: writes `providers.d/facts/*.json` and `docs/price-disagreements.md`.

`--genai-prices` and `--litellm` are the wheels (`pip download --no-deps genai-prices litellm`), `--date` the
day they were fetched, which every price then bears: what began and who retired is judged by it.
`--check` writes nothing and exits 1 if a file would change.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from engine.builtin import builtin_root
from engine.compiler.load import Source
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics
from engine.facts import genai, litellm, write
from engine.facts.tables import GENAI, LITELLM, Packages, Table, make

_SOURCES: Final = Path(__file__).with_name("sources.yaml")
_REPORT: Final = "docs/price-disagreements.md"
_FOLDER: Final = "providers.d/facts"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.facts", description=__doc__)
    parser.add_argument("--genai-prices", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--litellm", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--date", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--root", type=Path, default=builtin_root(), metavar="DIR", help="the repository")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args(argv)
    files = build(written(_SOURCES), args.genai_prices, args.litellm, args.date.isoformat())
    changed = [name for name, text in files.items() if _read(args.root / name) != text]
    stray = [
        path for path in sorted((args.root / _FOLDER).glob("*.json")) if f"{_FOLDER}/{path.name}" not in files
    ]
    if not args.check:
        (args.root / _FOLDER).mkdir(parents=True, exist_ok=True)
        for name in changed:
            (args.root / name).write_text(files[name])
        for path in stray:
            path.unlink()
    for name in [*changed, *(f"{_FOLDER}/{path.name}" for path in stray)]:
        sys.stdout.write(f"{'differs' if args.check else 'written'}  {name}\n")
    return 1 if args.check and (changed or stray) else 0


def build(tables: Mapping[str, Any], genai_wheel: Path, litellm_wheel: Path, on: str) -> dict[str, str]:
    """The text of every file by its path in the repository. `tables`: of `sources.yaml`; `on`: the day."""
    packages = Packages(genai.read(genai_wheel), litellm.read(litellm_wheel), on)
    sources = {GENAI: _source(GENAI, genai_wheel, on), LITELLM: _source(LITELLM, litellm_wheel, on)}
    made: dict[str, Table] = {}
    for name, spec in tables.items():
        try:
            made[name] = make(spec, packages)
        except (KeyError, ValueError) as error:
            raise ValueError(f"the table {name}: {error}") from error
    files = {f"{_FOLDER}/{name}.json": write.table(name, each, sources) for name, each in made.items()}
    return {**files, _REPORT: write.report(made, sources)}


def written(path: Path) -> Mapping[str, Any]:
    """The tables that a file like `sources.yaml` describes."""
    out = Diagnostics()
    text = path.read_text()
    document = parse(Source(path.name, "provider", text, hashlib.sha256(text.encode()).hexdigest()), out)
    if document is None or out.failed:
        raise ValueError("; ".join(f"{path.name}: {each.message}" for each in out))
    tables: Mapping[str, Any] = document.data["tables"]
    return tables


def _source(name: str, wheel: Path, on: str) -> dict[str, str]:
    version = wheel.name.split("-")[1]
    return {"name": f"{name} {version}", "date": on, "licence": "MIT"}


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
