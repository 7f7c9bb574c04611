"""A process and its machine (`compiler/checks/process`, `control/secret_check`, `control/reload`)."""

from __future__ import annotations

from engine.codes.code import Code
from engine.codes.examples import HERE, TWO

CODES = (
    Code(
        "E500",
        "compile-failed",
        why="The process that compiles could not be started, died or took over a minute, so nothing is "
        "known about the workspace. The plan that ran before runs on.",
        fix="Run `engine validate` there; the sidecar's stderr holds what the compiler printed.",
    ),
    Code(
        "E501",
        "address-changed",
        why="`listen`, `admin` and `probes` are bound, `workers` are started, `state` is opened, and which "
        "files `tls` names is read when the process starts. A reload that changed one of them and took the "
        "rest would run half of what the files say, so it is refused whole. (What lies in the files of `tls` "
        "may change any time.)",
        fix="Restart the process, or put the old value back.",
    ),
    Code(
        "E502",
        "provision-failed",
        why="The plan compiles, but this process cannot run it: an upstream or a local model cannot be "
        "set up.",
        fix="The message says what is missing here.",
    ),
    Code(
        "E503",
        "routes-gone",
        why="No routes are left in the workspace of a running sidecar. That is what a volume looks like that "
        "is not mounted, a folder that is being replaced, or a file that a full disk cut to nothing; every "
        "client would be refused, or served by the routes that the engine ships.",
        fix="Put the files back. To serve no routes, or the engine's own, restart.",
    ),
    Code(
        "E504",
        "never-still",
        why="A file changed each time between its reading and a second look at it, so what was read may be "
        "half of what was meant. The plan that ran before runs on.",
        fix="Stop what rewrites the files, or have it write a new file and rename that over the old one.",
    ),
    Code(
        "N230",
        "state-in-memory",
        why="Budgets, limits and health are kept in memory, so a restart begins from zero, and each worker "
        "counts by itself.",
        fix="Leave `state` out, or write `state: sqlite:PATH`: the file outlives the process, and all "
        "processes of the host share it.",
        bad={"engine.yaml": "state: memory\n", "routes/main.yaml": HERE + "routes:\n  chat: here\n"},
        good={
            "engine.yaml": "state: sqlite:.engine/state.db\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E231",
        "open-to-all",
        why="The sidecar would listen where others can reach it, with no client key to ask for: none "
        "stands in the files, and `state: memory` keeps none. (Where a store keeps some, the sidecar looks "
        "when it starts.)",
        fix="Listen on 127.0.0.1 (behind a proxy that asks who it is), or define client keys.",
        bad={
            "engine.yaml": "listen: 0.0.0.0:8080\nstate: memory\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
        good={
            "engine.yaml": "listen: 127.0.0.1:8080\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E232",
        "admin-open-to-all",
        why="/admin would be served where others can reach it, with no key.",
        fix="Add `admin_key`, or listen on 127.0.0.1.",
        bad={"engine.yaml": "admin: 0.0.0.0:8081\n", "routes/main.yaml": HERE + "routes:\n  chat: here\n"},
        good={
            "engine.yaml": "admin: 0.0.0.0:8081\nadmin_key: env:ENGINE_ADMIN_KEY\n",
            "routes/main.yaml": HERE + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E233",
        "no-timezone",
        why="An expression reads the clock, and without a time zone `08:00` would be another hour on each "
        "machine.",
        fix="Write `timezone:` in engine.yaml, like `timezone: Europe/Berlin`.",
        bad=TWO + "routes:\n  chat:\n    start:\n      switch:\n"
        '        - {when: \'between("07:00", "20:00")\', use: here}\n      else: there\n',
        good={
            "engine.yaml": "timezone: Europe/Berlin\n",
            "routes/main.yaml": TWO + "routes:\n  chat:\n    start:\n      switch:\n"
            '        - {when: \'between("07:00", "20:00")\', use: here}\n      else: there\n',
        },
    ),
    Code(
        "N262",
        "counted-by-worker",
        why="With several workers each process keeps its own counts: open calls and queues of `concurrent`, "
        "breakers, cooldowns and retry budgets, latencies, what a `cache` or a sticky choice remembers in "
        "memory. A bound holds for each worker, so the sidecar as a whole may reach it once for each. "
        "Budgets and limits are one over all workers where the state store is SQLite or Redis; in memory, "
        "and with `scope: host` beside Redis, each worker has its own.",
        fix="Divide the bound by the number of workers, or write `workers: 1`; for budgets and limits, take "
        "a state store that the workers share.",
        bad={
            "engine.yaml": "workers: 4\n",
            "routes/main.yaml": HERE.replace("}", ", concurrent: 20}") + "routes:\n  chat: here\n",
        },
        good={
            "engine.yaml": "workers: 1\n",
            "routes/main.yaml": HERE.replace("}", ", concurrent: 20}") + "routes:\n  chat: here\n",
        },
    ),
    Code(
        "E244",
        "secret-missing",
        why="A secret that the plan needs cannot be read on this machine. `engine validate --secrets` tells "
        "so, and a sidecar's log as it starts. A reload that brings such a need is rejected: the plan that "
        "ran before does without.",
        fix="Set the environment variable (a running sidecar keeps the environment it was started with), or "
        "put the file where the credential says.",
    ),
)
