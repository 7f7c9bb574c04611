"""Fixtures for every test folder: tiny local models built once a session, and the real one if it is here."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# tests are not packages: this makes `tinymodel` and `asking` importable from every folder
sys.path.append(str(Path(__file__).parent / "local"))
# and a real state store, with what may go wrong before it
sys.path.append(str(Path(__file__).parent / "state"))
# and a clock and ports of our own, whatever else the machine does
sys.path.append(str(Path(__file__).parent / "machine"))

# A proxy of the machine's changes which transport is chosen; tests that want one set their own.
for _name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)


# What is compiled is kept for this run only, for all its workers: they inherit the environment.
if "ENGINE_CACHE_DIR" not in os.environ:
    os.environ["ENGINE_CACHE_DIR"] = tempfile.mkdtemp(prefix="engine-tests-")
    atexit.register(shutil.rmtree, os.environ["ENGINE_CACHE_DIR"], ignore_errors=True)

# And no test leaves a plan in the user's own folder.
os.environ["ENGINE_STATE_DIR"] = tempfile.mkdtemp(prefix="engine-tests-state-")
atexit.register(shutil.rmtree, os.environ["ENGINE_STATE_DIR"], ignore_errors=True)

# What is generated is the same in every run, however slow the machine: no change, no other outcome.
# `make nightly` searches with new chance.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("searching", settings.get_profile("steady"), derandomize=False, print_blob=True)
settings.load_profile("steady")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of `-m alone` leaves unread what has no such test: to read all takes longer than most of them."""
    if config.option.markexpr != "alone" or not collection_path.match("test_*.py"):
        return None
    return True if "mark.alone" not in collection_path.read_text("utf-8") else None


@pytest.fixture(scope="session")
def canned_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GenAI folder that answers "Hello from the tiny test model." to everything."""
    from tinymodel import build_canned  # here: needs onnx, and most tests need no model

    return build_canned(tmp_path_factory.mktemp("models") / "canned")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GenAI folder with random weights: it babbles, and obeys grammars."""
    from tinymodel import build_random

    return build_random(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2 in the user's cache; never fetched by a test."""
    from engine.local.errors import ModelError
    from engine.local.store import ModelStore

    try:
        return ModelStore().find("smollm2-135m-instruct").path
    except ModelError as error:
        pytest.skip(f"SmolLM2 not here: {error.message} ({error.help})")
