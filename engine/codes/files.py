"""Finding and reading the files of a workspace (`compiler/load`, `compiler/read_file`)."""

from __future__ import annotations

from engine.codes.code import Code

CODES = (
    Code(
        "E001",
        "no-workspace",
        why="The folder named on the command line does not exist, or is a file.",
        fix="Name the folder that holds `engine.yaml` or `routes/`, or make one with `engine init DIR`.",
    ),
    Code(
        "E002",
        "unknown-environment",
        why="`--env NAME` picks the overlay `envs/NAME/`, and this workspace has no such folder. Going on "
        "without the overlay would run another plan than the one asked for.",
        fix="Name an environment that exists, or make `envs/NAME/*.yaml`.",
    ),
    Code(
        "E003",
        "outside-workspace",
        why="A link leads out of the workspace. Only what lies inside is read, so that a revision means "
        "one set of files, and a workspace from elsewhere cannot pull in files of this machine.",
        fix="Copy the file or folder into the workspace.",
    ),
    Code(
        "E004",
        "not-a-file",
        why="Something that ends in `.yaml` is a folder, a FIFO, a socket or a device. Reading it could "
        "hang.",
        fix="Put a plain file there, or give it another name.",
    ),
    Code(
        "E005",
        "unreadable",
        why="The operating system refuses to read the file or folder, or it is a link to nothing.",
        fix="Check its owner and permissions for the user that runs the engine.",
    ),
    Code(
        "E006",
        "encoding",
        why="Files are UTF-8 (a byte order mark is accepted). Guessing another encoding would change texts.",
        fix="Save the file as UTF-8.",
    ),
    Code(
        "E008",
        "file-too-large",
        why="A file holds more than 1 MiB. A workspace's files are a few kilobytes: this is a wrong file "
        "or a hostile one, and it is refused before it costs time.",
        fix="Split it: every section may be spread over several files.",
    ),
    Code(
        "E009",
        "file-name",
        why="The file's name holds control characters or is not UTF-8, so no message could name it.",
        fix="Rename the file.",
    ),
    Code(
        "W001",
        "stray-file",
        why="A YAML file lies where none is read, so what it says has no effect.",
        fix="Move it to `routes/`, `policies/`, `providers.d/`, `envs/NAME/` or `cases/`.",
        bad={"routes.yaml": "routes:\n  assistant: gpt\n"},
        good={"routes/main.yaml": "routes:\n  assistant: gpt\n"},
    ),
    Code(
        "W002",
        "yml-ending",
        why="Only `.yaml` is read: with two endings, two files could claim one name.",
        fix="Rename the file.",
        bad={"routes/main.yml": "routes:\n  assistant: gpt\n"},
        good={"routes/main.yaml": "routes:\n  assistant: gpt\n"},
    ),
    Code(
        "W004",
        "empty-environment",
        why="The environment's folder holds no `*.yaml`, so `--env` changes nothing.",
        fix="Put an overlay into it.",
    ),
    Code(
        "N001",
        "default-routes",
        why="The folder holds no file of a workspace, so the routes that the engine ships run.",
        fix="Nothing, if that is meant. `engine init DIR` writes a workspace.",
    ),
)
