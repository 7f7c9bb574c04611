"""What `engine doctor` looks at: each check is a function that yields findings, and `CHECKS` is their order.

A finding is `ok`, `note` (worth knowing), `warning` (something will not work as it is) or `error` (the engine
cannot work). Nothing here talks to the network, starts a model or shows a secret's value.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from engine.builtin import builtin
from engine.cli.output import size
from engine.local.errors import ModelError
from engine.local.providers import PROVIDERS, VARIANTS, check_variants, installed_variants, rule_out
from engine.local.store import ModelStore
from engine.upstream.proxies import Proxies
from engine.version import VERSION

State = Literal["ok", "note", "warning", "error"]

DISTRIBUTION = "llm-runner-router"

#: The addresses that the sidecar and its admin paths have by default.
PORTS = {"listen": 8080, "admin": 8081}

#: Less than this and fetching plus converting the smallest model may fail half-way.
DISK_NEEDED = 600 * 1024 * 1024

_SECRET = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    area: str
    name: str
    state: State
    detail: str
    help: str | None = None


def check_python(workspace: Path) -> Iterator[Finding]:
    """The interpreter, and the engine itself."""
    yield Finding("engine", "engine", "ok", f"{VERSION}, {Path(__file__).parent.parent}")
    shown = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    yield Finding("engine", "python", "ok", shown)
    where = f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors"
    yield Finding("engine", "platform", "ok", where)


def check_parts(workspace: Path) -> Iterator[Finding]:
    """The packages that the engine stands on, those of the extra `local` included."""
    for name, extra in _required():
        version = _version(name)
        if version is not None:
            yield Finding("parts", name, "ok", version)
        elif extra is None:
            yield Finding("parts", name, "error", "not installed", f"pip install {DISTRIBUTION}")
        elif name not in VARIANTS:
            yield Finding("parts", name, "note", "not installed", f'pip install "{DISTRIBUTION}[{extra}]"')


def check_genai(workspace: Path) -> Iterator[Finding]:
    """The onnxruntime-genai variant (exactly one runs local models), and what it can run on."""
    variants = installed_variants()
    try:
        variant = check_variants(variants)
    except ModelError as error:
        # None at all is fine for who routes to the cloud only; two break each other for everybody.
        state: State = "error" if variants else "note"
        yield Finding("local", "onnxruntime-genai", state, error.message, error.help)
        return
    yield Finding("local", "onnxruntime-genai", "ok", f"{variant} {_version(variant)}")
    for provider in PROVIDERS:
        why_not = rule_out(provider, variant)
        if why_not is not None:
            yield Finding("local", f"runs on {provider}", "note", f"no: {why_not}")
        elif provider == "cpu":
            yield Finding("local", "runs on cpu", "ok", "yes")
        else:
            detail = "not ruled out: a model that lists it tries it when it starts, /admin/status tells"
            yield Finding("local", f"runs on {provider}", "ok", detail)


def check_telemetry(workspace: Path) -> Iterator[Finding]:
    """ONNX Runtime's own telemetry, which the official wheels have on."""
    value = os.environ.get("ORT_DISABLE_TELEMETRY")
    detail = "the engine switches ONNX Runtime's telemetry off in every model worker"
    if value is not None:
        detail += f" (here ORT_DISABLE_TELEMETRY={value})"
    yield Finding("local", "telemetry", "ok", detail)


def check_models(workspace: Path) -> Iterator[Finding]:
    """The model folder: can it be written, is there room, are the models whole."""
    store = ModelStore()
    there = next(path for path in (store.root, *store.root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        advice = "make it writable, or name another folder in ENGINE_MODELS"
        yield Finding("local", "model folder", "warning", f"{store.root} cannot be written", advice)
    elif free < DISK_NEEDED:
        advice = f"a model needs {size(DISK_NEEDED)} while it is added; ENGINE_MODELS names another folder"
        yield Finding("local", "model folder", "warning", f"{store.root}, only {size(free)} free", advice)
    else:
        yield Finding("local", "model folder", "ok", f"{store.root}, {size(free)} free")
    names = sorted(path.name for path in store.root.glob("[!.]*") if path.is_dir())
    if not names:
        advice = "engine models add smollm2-135m-instruct"
        yield Finding("local", "models", "note", "none yet", advice)
    for name in names:
        try:
            manifest = store.find(name).manifest
        except ModelError as error:
            yield Finding("local", f"model {name}", "warning", error.message, error.help)
            continue
        known = f"{size(manifest.size)}, {manifest.quantisation}" if manifest else "no manifest"
        yield Finding("local", f"model {name}", "ok", known)


def check_state(workspace: Path) -> Iterator[Finding]:
    """Where what budgets and limits count, and client keys, are kept: could it be? Nobody is asked for it."""
    # Deferred: the compiler's first half, and only this check reads engine.yaml.
    from engine.compiler.settings_alone import settings_alone
    from engine.diagnostics import Diagnostics

    out = Diagnostics()
    settings, _ = settings_alone(workspace, out)
    kind, _, place = settings.state.partition(":")
    if out.failed:
        advice = "`engine validate` shows what is wrong with it"
        yield Finding("sidecar", "state", "warning", "engine.yaml does not say", advice)
    elif kind == "memory":
        told = "memory: what budgets and limits count lives as long as the process"
        yield Finding("sidecar", "state", "ok", told)
    elif kind == "sqlite":
        yield _state_file(workspace / Path(place).expanduser())
    elif _version("redis") is None:
        advice = f'pip install "{DISTRIBUTION}[redis]"'
        yield Finding("sidecar", "state", "error", f"{settings.state} needs the package redis", advice)
    else:
        told = f"{settings.state} (not asked: `/readyz` of a sidecar tells whether it answers)"
        yield Finding("sidecar", "state", "ok", told)


def _state_file(path: Path) -> Finding:
    """An SQLite file that is there, or could be made when a budget, a limit or a key needs it."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if os.access(there, os.W_OK) and os.access(path.parent if there == path else there, os.W_OK):
        return Finding(
            "sidecar", "state", "ok", f"{path}{'' if there == path else ', made when it is needed'}"
        )
    advice = "let the process write there, or name another place in engine.yaml, `state: sqlite:PATH`"
    return Finding("sidecar", "state", "warning", f"{path} cannot be written", advice)


def check_egress(workspace: Path) -> Iterator[Finding]:
    """How calls to vendors leave this machine."""
    rows = Proxies.of_environment().shown()
    if not rows:
        yield Finding("sidecar", "egress", "ok", "straight to the vendors: no proxy in the environment")
    for name, proxy, usable in rows:
        if usable:
            detail = f"through {proxy} ({name}); loopback and NO_PROXY hosts go direct"
            yield Finding("sidecar", "egress", "ok", detail)
        else:
            advice = f"set {name} to http://host:port, or unset it"
            yield Finding("sidecar", "egress", "warning", f"{name} names no proxy that can be used", advice)


def check_ports(workspace: Path) -> Iterator[Finding]:
    """Whether the default addresses can be bound."""
    for name, port in PORTS.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name == "posix":  # as the sidecar binds: a port just left is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                why = "in use" if taken else str(error)
                advice = f"engine serve --{name} 127.0.0.1:0 takes a free port"
                yield Finding("sidecar", f"port {port}", "note", f"{why} ({name})", advice)
            else:
                yield Finding("sidecar", f"port {port}", "ok", f"free ({name})")


def check_secrets(workspace: Path) -> Iterator[Finding]:
    """Which environment variables that providers and the workspace name are set. Names only, never values."""
    named: dict[str, set[str]] = {}
    shipped = [(path, path.stem) for path in sorted(builtin("providers.d").glob("*.yaml"))]
    own = [
        (path, path.relative_to(workspace).as_posix())
        for folder in ("routes", "policies", "providers.d", "envs")
        for path in sorted((workspace / folder).rglob("*.y*ml"))
    ]
    for path, user in [*shipped, *own]:
        for line in path.read_text("utf-8", "replace").splitlines():
            for name in _SECRET.findall(line.partition(" #")[0] if not line.lstrip().startswith("#") else ""):
                named.setdefault(name, set()).add(user)
    for name, users in sorted(named.items()):
        present = bool(os.environ.get(name))
        detail = f"{'set' if present else 'not set'} ({', '.join(sorted(users))})"
        yield Finding("secrets", name, "ok" if present else "note", detail)


def check_credentials(workspace: Path) -> Iterator[Finding]:
    """Where the credentials of this workspace's deployments come from, by the rules of their providers."""
    # Deferred: only this check compiles the workspace.
    from engine.compiler.pipeline import compile_folder
    from engine.control.secret_check import look

    plan = compile_folder(workspace).plan if (workspace / "routes").is_dir() else None
    for row in look(plan, os.environ) if plan is not None else ():
        users = ", ".join(row.deployments)
        state: State = "ok" if row.missing is None else "warning"
        yield Finding("credentials", row.credential, state, f"{row.source or row.missing} ({users})")


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    check_python,
    check_parts,
    check_genai,
    check_telemetry,
    check_models,
    check_state,
    check_egress,
    check_ports,
    check_secrets,
    check_credentials,
)


def examine(workspace: Path) -> list[Finding]:
    """Every check, in order."""
    return [finding for check in CHECKS for finding in check(workspace)]


def _required() -> list[tuple[str, str | None]]:
    """(package, extra that brings it) of this distribution's own metadata, for this platform's lines."""
    lines = metadata.requires(DISTRIBUTION) if _version(DISTRIBUTION) else None
    found: dict[str, str | None] = {}
    for line in lines or []:
        requirement, _, marker = line.partition(";")
        name = re.split(r"[\s<>=!~\[(]", requirement.strip(), maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if "sys_platform" in marker and extra is None and sys.platform == "win32":
            continue  # the one marker of the core: uvloop, which Windows has not
        if extra is None:
            found[name] = None
        elif extra[1] in {"convert", "local"} and name != DISTRIBUTION:
            found.setdefault(name, "local")
    return list(found.items())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
