"""Files of a workspace: which are read, as what, and what is never opened."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

import engine.builtin
from engine.builtin import builtin_root
from engine.codes import CODES
from engine.compiler import load as load_module
from engine.compiler.load import Sources, load
from engine.diagnostics import Diagnostics

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs, links and modes of POSIX")


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def run(root: Path, env: str | None = None) -> tuple[Sources, list[str]]:
    """The sources, and each finding as `CODE path` (the code alone where there is no place)."""
    out = Diagnostics()
    sources = load(root, env, out)
    return sources, [f"{d.code} {d.span.file}" if d.span else d.code for d in out]


def messages(root: Path, env: str | None = None) -> str:
    out = Diagnostics()
    load(root, env, out)
    return "\n".join(f"{d} | {d.help}" for d in out)


WORKSPACE: dict[str, str | bytes] = {
    "engine.yaml": "watch: true\n",
    "routes/b.yaml": "routes: {}\n",
    "routes/a.yaml": "routes: {}\n",
    "policies/acme.yaml": "require: {}\n",
    "providers.d/acme.yaml": "dialect: openai_chat\n",
    "providers.d/dialects/acme_chat.yaml": "request: {}\n",
    "envs/prod/limits.yaml": "limits: {}\n",
    "envs/dev/limits.yaml": "limits: {}\n",
    "cases/a.yaml": "- case: x\n",
}


def test_every_kind_of_file_in_sorted_order(tmp_path: Path) -> None:
    sources, found = run(write(tmp_path, WORKSPACE), "prod")
    assert found == []
    assert [(source.path, source.kind) for source in sources.files] == [
        ("cases/a.yaml", "case"),
        ("engine.yaml", "settings"),
        ("envs/prod/limits.yaml", "overlay"),
        ("policies/acme.yaml", "policies"),
        ("providers.d/acme.yaml", "provider"),
        ("providers.d/dialects/acme_chat.yaml", "dialect"),
        ("routes/a.yaml", "routes"),
        ("routes/b.yaml", "routes"),
    ]
    assert [source.name for source in sources.of("provider")] == ["acme"]
    assert sources.texts()["engine.yaml"] == "watch: true\n"


def test_without_an_environment_no_overlay_is_read(tmp_path: Path) -> None:
    sources, found = run(write(tmp_path, WORKSPACE))
    assert (sources.of("overlay"), found) == ((), [])


def test_the_digest_is_of_the_bytes_and_the_same_at_any_place(tmp_path: Path) -> None:
    first, _ = run(write(tmp_path / "one", WORKSPACE))
    second, _ = run(write(tmp_path / "two", WORKSPACE))
    assert first.files == second.files
    changed, _ = run(write(tmp_path / "two", {"engine.yaml": "watch: true \n"}))
    assert changed.of("settings")[0].digest != first.of("settings")[0].digest


@pytest.mark.parametrize(
    ("path", "expected", "advice"),
    [
        ("routes.yaml", "W001 routes.yaml", "routes/*.yaml"),
        ("main.yml", "W001 main.yml", "routes/*.yaml"),
        ("engine.yml", "W002 engine.yml", "engine.yaml"),
        ("routes/x.yml", "W002 routes/x.yml", "routes/x.yaml"),
        ("envs/prod/x.yml", None, ""),
        ("routes/team/x.yaml", "W001 routes/team/x.yaml", "routes/"),
        ("providers.d/dialects/x.yml", "W002 providers.d/dialects/x.yml", "providers.d/dialects/x.yaml"),
        ("envs/x.yaml", "W001 envs/x.yaml", "envs/NAME/*.yaml"),
        ("docker-compose.yaml", None, ""),
        ("compose.override.yml", None, ""),
        (".pre-commit-config.yaml", None, ""),
        ("routes/.#x.yaml", None, ""),
        ("routes/x.yaml~", None, ""),
        ("docs/x.yaml", None, ""),
        ("schemas/x.json", None, ""),
    ],
)
def test_stray_files(tmp_path: Path, path: str, expected: str | None, advice: str) -> None:
    root = write(tmp_path, {"routes/a.yaml": "", path: "routes: {}\n"})
    sources, found = run(root)
    assert found == ([expected] if expected else [])
    assert advice in messages(root)
    assert [source.path for source in sources.files] == ["routes/a.yaml"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("prdo", "did you mean `prod`? there is: dev, prod"),
        ("../routes", "there is: dev, prod"),
        (".", "there is: dev, prod"),
        ("", "there is: dev, prod"),
    ],
)
def test_unknown_environment(tmp_path: Path, env: str, expected: str) -> None:
    root = write(tmp_path, WORKSPACE)
    assert run(root, env)[1] == ["E002"]
    assert expected in messages(root, env)


def test_an_environment_where_there_is_none(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a.yaml": ""})
    assert run(root, "prod")[1] == ["E002"]
    assert "has no envs/" in messages(root, "prod")


def test_an_empty_environment_is_warned_of(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a.yaml": "", "envs/prod/readme.txt": ""})
    assert run(root, "prod")[1] == ["W004"]


# --- workspaces that are none -------------------------------------------------------------------------


def test_a_missing_workspace(tmp_path: Path) -> None:
    sources, found = run(tmp_path / "nothing")
    assert (sources.files, found) == ((), ["E001"])
    assert "engine init" in messages(tmp_path / "nothing")


def test_a_workspace_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_dir = Path.is_dir

    def refuse(path: Path) -> bool:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert run(tmp_path)[1] == ["E005"]
    assert "Permission denied" in messages(tmp_path)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    """And no default routes then: somebody meant to write some."""
    sources, found = run(write(tmp_path, {"routes": "routes: {}\n", "policies": "", "envs": ""}))
    assert found == ["E004 envs", "E004 policies", "E004 routes"]
    assert sources.files == ()


@posix
def test_a_link_to_no_folder(tmp_path: Path) -> None:
    (tmp_path / "routes").symlink_to("nothing")
    sources, found = run(tmp_path)
    assert (sources.files, found) == ((), ["E005 routes"])


@pytest.mark.parametrize("code", ["W001", "W002"])
def test_examples_of_the_table(tmp_path: Path, code: str) -> None:
    row = CODES[code]
    assert isinstance(row.bad, dict)
    assert isinstance(row.good, dict)
    assert code in {found.split()[0] for found in run(write(tmp_path / "bad", dict(row.bad)))[1]}
    assert run(write(tmp_path / "good", dict(row.good)))[1] == []


def test_a_file_in_place_of_a_workspace(tmp_path: Path) -> None:
    write(tmp_path, {"engine.yaml": ""})
    assert run(tmp_path / "engine.yaml")[1] == ["E001"]
    assert str(tmp_path) in messages(tmp_path / "engine.yaml")


# --- what is refused ----------------------------------------------------------------------------------


@posix
def test_links_inside_are_read_and_links_outside_are_not(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links through `..data`, inside the folder."""
    outside = write(tmp_path / "outside", {"x.yaml": "secret\n"})
    root = write(tmp_path / "ws", {"routes/..2026/a.yaml": "routes: {}\n"})
    (root / "routes/..data").symlink_to("..2026")
    (root / "routes/a.yaml").symlink_to("..data/a.yaml")
    (root / "routes/b.yaml").symlink_to(outside / "x.yaml")
    (root / "routes/c.yaml").symlink_to("nothing.yaml")
    (root / "routes/d.yaml").symlink_to("d.yaml")
    (root / "policies").symlink_to(outside)
    (root / "cases").symlink_to("routes/..2026")
    sources, found = run(root)
    assert [source.path for source in sources.files] == ["cases/a.yaml", "routes/a.yaml"]
    assert sorted(found) == ["E003", "E003 routes/b.yaml", "E005 routes/c.yaml", "E005 routes/d.yaml"]
    assert "secret" not in messages(root)


@posix
def test_the_workspace_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", {"routes/a.yaml": ""})
    (tmp_path / "link").symlink_to("real")
    sources, found = run(tmp_path / "link")
    assert ([source.path for source in sources.files], found) == (["routes/a.yaml"], [])


@posix
def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a.yaml": "", "routes/folder.yaml/x.yaml": ""})
    os.mkfifo(root / "routes/fifo.yaml")
    os.mkfifo(root / "engine.yaml")
    (root / "routes/device.yaml").symlink_to("/dev/zero")
    start = time.process_time()
    _, found = run(root)
    assert time.process_time() - start < 1
    expected = [
        "E003 routes/device.yaml",
        "E004 engine.yaml",
        "E004 routes/fifo.yaml",
        "E004 routes/folder.yaml",
    ]
    assert sorted(found) == expected
    assert "a FIFO" in messages(root)
    assert "a folder" in messages(root)


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a.yaml": "", "policies/a.yaml": ""})
    (root / "routes/a.yaml").chmod(0)
    (root / "policies").chmod(0)
    assert sorted(run(root)[1]) == ["E005", "E005 routes/a.yaml"]
    (root / "policies").chmod(0o700)


def test_refusal_of_the_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as above for a user whom no mode stops."""
    root = write(tmp_path, {"routes/a.yaml": ""})

    def refuse(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert run(root)[1] == ["E005 routes/a.yaml"]
    assert "Permission denied" in messages(root)


@posix
def test_a_file_name_that_cannot_be_shown(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a\x1b[31m.yaml": "", "routes/b.yaml": ""})
    sources, found = run(root)
    assert [source.path for source in sources.files] == ["routes/b.yaml"]
    assert found[0].startswith("E009")
    assert "\x1b" not in messages(root)
    assert "\x1b" not in found[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a: x\n".encode("utf-16"), "UTF-16"),
        ("a: x\n".encode("utf-16-le"), "UTF-16"),
        ("a: x\n".encode("utf-16-be"), "UTF-16"),
        (b"a: x\nb: caf\xe9\n", "routes/a.yaml:2:7: error[E006]: the byte 0xe9 is not UTF-8"),
        ("é: ".encode() + b"\xff", "routes/a.yaml:1:4: error[E006]: the byte 0xff is not UTF-8"),
        (b"\xed\xa0\x80", "is not UTF-8"),
    ],
)
def test_encodings_that_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    root = write(tmp_path, {"routes/a.yaml": data})
    assert run(root)[1] == ["E006 routes/a.yaml"]
    assert message in messages(root)
    assert "save" in messages(root)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    sources, found = run(write(tmp_path, {"routes/a.yaml": b"\xef\xbb\xbfroutes: {}\n"}))
    assert found == []
    assert sources.files[0].text == "routes: {}\n"


def test_size_limit(tmp_path: Path) -> None:
    limit = 1024 * 1024
    root = write(tmp_path, {"routes/fits.yaml": "#" * limit, "routes/large.yaml": "#" * (limit + 1)})
    sources, found = run(root)
    assert found == ["E008 routes/large.yaml"]
    assert [source.path for source in sources.files] == ["routes/fits.yaml"]
    assert "at most 1 MiB" in messages(root)


@posix
def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    root = write(tmp_path, {"routes/a.yaml": ""})
    with (root / "routes/huge.yaml").open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: ten gigabytes that cost nothing to make
    start = time.process_time()
    assert run(root)[1] == ["E008 routes/huge.yaml"]
    assert time.process_time() - start < 1


@posix
def test_a_file_that_turns_into_a_fifo_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"routes/a.yaml": ""})
    opened = os.open

    def swap(path: str | Path, flags: int) -> int:
        Path(path).unlink()
        os.mkfifo(path)
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swap)
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(run(root)[1]), daemon=True)
    thread.start()
    thread.join(30)
    assert found == [["E004 routes/a.yaml"]]


# --- what the engine ships ----------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped workspace of known content, in place of the real one."""
    root = tmp_path / "shipped"
    files: dict[str, str | bytes] = {
        "providers.d/openai.yaml": "dialect: openai_chat\n",
        "providers.d/acme.yaml": "dialect: openai_chat\n",
        "providers.d/dialects/openai_chat.yaml": "request: {}\n",
        "routes/default.yaml": "routes: {}\n",
    }
    write(root, files)
    monkeypatch.setattr(load_module, "builtin_root", lambda: root)
    return root


def test_shipped_providers_are_read_by_name(tmp_path: Path, shipped: Path) -> None:
    sources, _ = run(write(tmp_path / "ws", {"routes/a.yaml": ""}))
    assert [source.path for source in sources.files] == ["routes/a.yaml"]
    assert sources.builtin_provider_names() == ("acme", "openai")
    assert sources.builtin_dialect_names() == ("openai_chat",)
    provider = sources.builtin_provider("openai")
    assert provider is not None
    assert (provider.path, provider.kind, provider.name) == (
        "builtin:providers.d/openai.yaml",
        "provider",
        "openai",
    )
    assert provider.builtin
    (shipped / "providers.d/openai.yaml").unlink()
    assert sources.builtin_provider("openai") is provider, "read once"
    dialect = sources.builtin_dialect("openai_chat")
    assert dialect is not None
    assert sources.texts()["builtin:providers.d/dialects/openai_chat.yaml"] == dialect.text == "request: {}\n"


@pytest.mark.parametrize("name", ["nothing", "../routes/default", "dialects/openai_chat", "", "OPENAI"])
def test_no_such_shipped_provider(tmp_path: Path, shipped: Path, name: str) -> None:
    sources, _ = run(write(tmp_path / "ws", {"routes/a.yaml": ""}))
    assert sources.builtin_provider(name) is None


def test_default_routes_stand_in_for_none(tmp_path: Path, shipped: Path) -> None:
    (tmp_path / "empty").mkdir()
    sources, found = run(tmp_path / "empty")
    assert [source.path for source in sources.files] == ["builtin:routes/default.yaml"]
    assert found == ["N001"]
    sources, found = run(write(tmp_path / "settings", {"engine.yaml": ""}))
    assert [source.path for source in sources.files] == ["builtin:routes/default.yaml", "engine.yaml"]
    assert found == []


@pytest.mark.parametrize("data", [b"routes: {}\n", b"\xff"])
def test_own_routes_hide_the_default_ones(tmp_path: Path, shipped: Path, data: bytes) -> None:
    """Also when they cannot be read: nobody wants other routes because of a typo."""
    sources, _ = run(write(tmp_path / "ws", {"routes/a.yaml": data}))
    assert not any(source.builtin for source in sources.files)


def test_the_shipped_workspace_is_not_loaded_twice(shipped: Path) -> None:
    sources, found = run(shipped)
    assert found == []
    assert [source.path for source in sources.files] == [
        "providers.d/acme.yaml",
        "providers.d/dialects/openai_chat.yaml",
        "providers.d/openai.yaml",
        "routes/default.yaml",
    ]
    assert sources.builtin_provider_names() == ()
    assert sources.builtin_provider("openai") is None


def test_where_the_shipped_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout beside the package, in a wheel inside it."""
    assert (builtin_root() / "providers.d" / "dialects").is_dir()
    package = tmp_path / "engine"
    monkeypatch.setattr(engine.builtin, "_PACKAGE", package)
    assert builtin_root() == tmp_path
    (package / "_builtin").mkdir(parents=True)
    assert builtin_root() == package / "_builtin"
