"""The files of a workspace: found, checked and read as text, in sorted order.

A workspace is a folder with `engine.yaml`, `routes/`, `policies/`, `providers.d/`, `envs/NAME/` and
`cases/`, all optional. Nothing outside the folder is read, nothing that is not a plain file is opened, and no
file over 1 MiB is read whole: a symlink to `/etc`, a FIFO or a 10 GB log must not stall or feed the compiler.
What the engine ships (vendors, dialects, default routes) is added lazily, by name, unless the workspace is
that very folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from engine.builtin import builtin, builtin_root
from engine.compiler.read_file import read_text
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics, Span

Kind = Literal["settings", "routes", "policies", "provider", "dialect", "overlay", "case"]

#: Folder (relative) -> what each YAML file directly in it is.
_FOLDERS: Final[tuple[tuple[str, Kind], ...]] = (
    ("cases", "case"),
    ("policies", "policies"),
    ("providers.d", "provider"),
    ("providers.d/dialects", "dialect"),
    ("routes", "routes"),
)
#: The settings of the process.
SETTINGS: Final = "engine.yaml"
#: Prefix of the paths of shipped files: they lie outside the workspace, and not at one place on all machines.
BUILTIN: Final = "builtin:"
#: YAML at the top of a folder that belongs to other tools: no word about these.
_FOREIGN: Final = (
    "docker-compose",
    "compose",
    "mkdocs",
    "Chart",
    "values",
    "action",
    "kustomization",
    "codecov",
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file: `path` is relative to the workspace, with slashes; `digest` is the sha256 of its bytes."""

    path: str
    kind: Kind
    text: str = field(repr=False)
    digest: str = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name without folder and ending: the name of a provider or dialect."""
        return self.path.rpartition("/")[2].removesuffix(".yaml")

    @property
    def builtin(self) -> bool:
        """True for a file that the engine ships."""
        return self.path.startswith(BUILTIN)


@dataclass(frozen=True)
class Sources:
    """A workspace's files, and access to the shipped ones. `files` is sorted by path."""

    root: Path
    env: str | None
    files: tuple[Source, ...]
    #: The shipped workspace; None when `root` is that folder.
    shipped: Path | None

    def of(self, kind: Kind) -> tuple[Source, ...]:
        """The files of one kind, sorted by path."""
        return tuple(source for source in self.files if source.kind == kind)

    def texts(self) -> dict[str, str]:
        """Path -> text of every file read so far, shipped ones too: what renderers quote from."""
        return {source.path: source.text for source in (*self.files, *self._read.values())}

    def builtin_provider(self, name: str) -> Source | None:
        """The shipped `providers.d/NAME.yaml`."""
        return self._shipped("providers.d", "provider", name)

    def builtin_dialect(self, name: str) -> Source | None:
        """The shipped `providers.d/dialects/NAME.yaml`."""
        return self._shipped("providers.d/dialects", "dialect", name)

    def builtin_provider_names(self) -> tuple[str, ...]:
        """The shipped vendors, sorted; none when the workspace is the shipped one: they are `files` then."""
        return _names(self.shipped, "providers.d")

    def builtin_dialect_names(self) -> tuple[str, ...]:
        """The shipped dialects, sorted."""
        return _names(self.shipped, "providers.d/dialects")

    @cached_property
    def _read(self) -> dict[str, Source]:
        return {}

    def _shipped(self, folder: str, kind: Kind, name: str) -> Source | None:
        path = f"{folder}/{name}.yaml"
        if path not in self._read:
            if self.shipped is None or name not in _names(self.shipped, folder):
                return None
            self._read[path] = _shipped_source(self.shipped, path, kind)
        return self._read[path]


def load(root: Path, env: str | None, out: Diagnostics) -> Sources:
    """Read the workspace at `root`, with the overlay `env` if one is named. Faults go to `out`."""
    shipped = builtin_root()
    try:
        if root.is_dir():
            return _load(root, env, shipped, out)
        _missing(root, out)
    except OSError as error:  # a folder on the way may not be entered
        advice = "check the permissions of the user that runs the engine"
        message = f"the workspace `{root}` cannot be read: {error.strerror or error}"
        out.add("E005", message, help=advice)
    return Sources(root, env, (), shipped)


def _load(root: Path, env: str | None, shipped: Path, out: Diagnostics) -> Sources:
    base = root.resolve()
    is_shipped = base == shipped.resolve()
    files = list(_read_all(base, env, out))
    if not is_shipped and not any(source.kind == "routes" for source in files) and not _has_routes(base):
        files.extend(_default_routes(shipped))
        if not files or all(source.builtin for source in files):
            out.add(
                "N001",
                f"`{root}` holds no file of a workspace: the routes that the engine ships are used",
                help="`engine init DIR` writes a small workspace; routes go to routes/*.yaml",
            )
    files.sort(key=lambda source: source.path)
    return Sources(root, env, tuple(files), None if is_shipped else shipped)


def _read_all(base: Path, env: str | None, out: Diagnostics) -> Iterator[Source]:
    for path, kind in _find(base, env, out):
        read = read_text(base, path, out)
        if read is not None:
            yield Source(path, kind, read[0], read[1])


def _find(base: Path, env: str | None, out: Diagnostics) -> Iterator[tuple[str, Kind]]:
    """The YAML files of the workspace; stray ones are warned of."""
    top = _entries(base, base, "", out)
    for name in top:
        if name == SETTINGS:
            yield name, "settings"
        elif _is_yaml(name):
            _stray_top(name, out)
    for folder, kind in _FOLDERS:
        yield from _folder(base, folder, kind, out)
    yield from _overlays(base, env, out)


def _folder(base: Path, folder: str, kind: Kind, out: Diagnostics) -> Iterator[tuple[str, Kind]]:
    if not _is_folder(base, folder, out):
        return
    known = {path for path, _ in _FOLDERS}
    for name in _entries(base, base / folder, folder, out):
        path = f"{folder}/{name}"
        if name.endswith(".yaml"):
            yield path, kind
        elif name.endswith(".yml"):
            _yml(path, out)
        elif path not in known and (base / path).is_dir() and not _is_ours(base, path):
            _stray_below(base, path, out)


def _is_ours(base: Path, folder: str) -> bool:
    """Whether it is where the engine ships its facts: in a checkout that lies in a workspace."""
    return folder == "providers.d/facts" and (base / folder).samefile(builtin("providers.d") / "facts")


def _is_folder(base: Path, folder: str, out: Diagnostics) -> bool:
    """False, silently, where there is nothing; with a diagnostic where something else has the name."""
    path = base / folder
    if path.is_dir():
        return True
    if path.is_symlink():
        out.add(
            "E005", f"`{folder}` is a link to a folder that does not exist", _file(folder), help="remove it"
        )
    elif path.exists():
        advice = f"put its text into {folder}/NAME.yaml"
        out.add("E004", f"`{folder}` is a file where a folder is expected", _file(folder), help=advice)
    return False


def _overlays(base: Path, env: str | None, out: Diagnostics) -> Iterator[tuple[str, Kind]]:
    names = _entries(base, base / "envs", "envs", out) if _is_folder(base, "envs", out) else []
    envs = [name for name in names if (base / "envs" / name).is_dir()]
    for name in names:
        if _is_yaml(name) and name not in envs:
            path = f"envs/{name}"
            out.add("W001", f"`{path}` is not read", _file(path), help="overlays lie in envs/NAME/*.yaml")
    if env is None:
        return
    if env not in envs:
        _unknown_env(env, envs, out)
        return
    found = list(_folder(base, f"envs/{env}", "overlay", out))
    if not found:
        out.add("W004", f"environment `{env}` has no overlay: no *.yaml lies in envs/{env}/")
    yield from found


def _entries(base: Path, folder: Path, shown: str, out: Diagnostics) -> list[str]:
    """The names in a folder, sorted, without hidden ones; none if it cannot be read or leads elsewhere."""
    try:
        if not folder.resolve().is_relative_to(base):
            out.add(
                "E003",
                f"`{shown}/` leads outside the workspace, to `{folder.resolve()}`",
                help="copy the folder into the workspace, or make it the workspace",
            )
            return []
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        out.add("E005", f"the folder `{shown or folder}` cannot be read: {error.strerror or error}")
        return []


def _has_routes(base: Path) -> bool:
    """A workspace's own `routes/` hides the shipped ones, even when it holds nothing readable."""
    routes = base / "routes"
    try:
        return routes.is_symlink() or any(_is_yaml(entry.name) for entry in routes.iterdir())
    except FileNotFoundError:
        return False
    except OSError:  # told when it was searched
        return True


def _default_routes(shipped: Path) -> Iterator[Source]:
    for name in _names(shipped, "routes"):
        yield _shipped_source(shipped, f"routes/{name}.yaml", "routes")


def _names(shipped: Path | None, folder: str) -> tuple[str, ...]:
    if shipped is None:
        return ()
    return tuple(sorted(path.stem for path in (shipped / folder).glob("*.yaml")))


def _shipped_source(shipped: Path, path: str, kind: Kind) -> Source:
    data = (shipped / path).read_bytes()
    return Source(BUILTIN + path, kind, data.decode(), hashlib.sha256(data).hexdigest())


# --- what to say --------------------------------------------------------------------------------------


def _missing(root: Path, out: Diagnostics) -> None:
    if root.exists():
        advice = f"name the folder that holds it: `{root.parent}`"
        out.add("E001", f"`{root}` is a file, and a workspace is a folder", help=advice)
    else:
        advice = "name the folder that holds engine.yaml or routes/, or make one with `engine init DIR`"
        out.add("E001", f"there is no workspace at `{root}`: no such folder", help=advice)


def _unknown_env(env: str, envs: list[str], out: Diagnostics) -> None:
    if not envs:
        message, advice = f"unknown environment `{env}`: this workspace has no envs/", "make envs/NAME/*.yaml"
    else:
        guess = did_you_mean(env, envs)
        message = f"unknown environment `{env}`"
        advice = (f"did you mean `{guess}`? " if guess else "") + "there is: " + ", ".join(envs)
    out.add("E002", message, help=advice)


def _stray_top(name: str, out: Diagnostics) -> None:
    stem = name.rpartition(".")[0]
    if name == "engine.yml":
        _yml(name, out)
    elif stem.partition(".")[0] not in _FOREIGN:
        advice = "routes and all other sections go to routes/*.yaml; only engine.yaml lies at the top"
        out.add(
            "W001", f"`{name}` is not read: it lies at the top of the workspace", _file(name), help=advice
        )


def _stray_below(base: Path, folder: str, out: Diagnostics) -> None:
    for name in _entries(base, base / folder, folder, out):
        if _is_yaml(name):
            path = f"{folder}/{name}"
            advice = f"move it up to {folder.rpartition('/')[0]}/: folders inside are not searched"
            out.add("W001", f"`{path}` is not read", _file(path), help=advice)


def _yml(path: str, out: Diagnostics) -> None:
    out.add(
        "W002", f"`{path}` is not read: it ends in .yml", _file(path), help=f"rename it to {path[:-4]}.yaml"
    )


def _is_yaml(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml"))


def _file(path: str) -> Span:
    return Span(path, 1, 1, 1, 1)
