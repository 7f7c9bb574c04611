"""Write a small working workspace: one route, a local model, one cloud deployment commented out.

The files compile as they are and answer without any key once the model is fetched. Nothing that exists is
overwritten: a folder that holds a workspace already is left alone, exit code 1. The JSON Schemas are copied
beside, so that an editor completes and checks the files with no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.builtin import builtin
from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed, message, write, write_json

ROUTES = """\
# yaml-language-server: $schema=../schemas/routes.schema.json
#
# Deployments are places that serve a model; routes are the names that clients ask for. Any file in routes/
# may hold any section, and the order of files and keys never matters. `engine validate` checks all of it.

deployments:
  here:                              # a small model on this machine: no key, no network
    provider: onnx
    model: smollm2-135m-instruct     # fetch it once: engine models add smollm2-135m-instruct

  # gpt:                             # its key comes from the environment: OPENAI_API_KEY
  #   provider: openai
  #   model: gpt-5-mini

routes:
  assistant: here                    # clients ask for model "assistant"

  # With `gpt` above: the cloud first, this machine when the cloud cannot. It replaces the line above.
  # assistant:
  #   start:
  #     fallback: [gpt, here]
"""

SETTINGS = """\
# yaml-language-server: $schema=schemas/engine.schema.json
#
# Settings of this process. All are optional: what is commented out shows the default.

# listen: 127.0.0.1:8080     # where clients connect; an address that others can reach needs client keys
# state: sqlite:.engine/state.db  # what budgets and limits count; several hosts share redis://HOST:6379/0
# body_limit: 20MiB          # larger requests are answered with 413
# drain: 30s                 # how long open streams may go on after SIGTERM
# heartbeat: 15s             # a stream that is silent for so long gets a comment; 0s for never
# watch: true                # reload when a file changes
# timezone: Europe/Berlin    # no default: needed once an expression reads the clock or a budget the calendar
"""

IGNORED = """\
# What a running engine writes.
.engine/
"""


def register(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the folder to write; made if it is missing")


def run(args: argparse.Namespace) -> int:
    root = Path(args.dir).expanduser()
    if root.exists() and not root.is_dir():
        raise CommandFailed(f"{root} is a file", help="name a folder")
    if taken := _taken(root):
        return _refuse(root, taken, args.format)
    written = _write(root, _files(root))
    if args.format == "json":
        write_json({"workspace": str(root), "written": written, "exists": []})
        return 0
    for name in written:
        write(f"wrote {root / name}")
    if ".gitignore" not in written:
        message(f"{root / '.gitignore'} is left as it is: it should name .engine/")
    message(f"next: engine models add smollm2-135m-instruct && engine serve {root}")
    return 0


def _taken(root: Path) -> list[str]:
    """What makes `root` a workspace already. A second routes file beside the first could contradict it."""
    found = [root / "engine.yaml", *sorted(root.glob("routes/*.y*ml"))]
    return [path.relative_to(root).as_posix() for path in found if path.exists()]


def _files(root: Path) -> dict[str, str]:
    """Path inside the workspace -> text. What an earlier `init` or the user's Git put there stays."""
    files = {"engine.yaml": SETTINGS, "routes/assistant.yaml": ROUTES}
    beside = {".gitignore": IGNORED}
    for schema in sorted(builtin("schemas").glob("*.schema.json")):
        beside[f"schemas/{schema.name}"] = schema.read_text("utf-8")
    return files | {name: text for name, text in beside.items() if not (root / name).exists()}


def _write(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:  # "x": never over what came meanwhile
            file.write(text)
    return list(files)


def _refuse(root: Path, taken: list[str], format: str) -> int:
    if format == "json":
        write_json({"workspace": str(root), "written": [], "exists": taken})
    else:
        write(f"{root} holds a workspace already: {', '.join(taken)}")
        message("nothing is written: choose another folder, or edit these files")
    return 1
