"""The shared files of AWS's tools, `~/.aws/config` and `~/.aws/credentials`: profiles by name.

A file is read again once it has changed. Keys of one profile in both files are put together,
those of the credentials file first. Names and values are read as botocore reads them: sections
`[profile NAME]` (or `[default]`) in the one, `[NAME]` in the other, no interpolation.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.upstream.secrets import SecretMissing

_MAX_BYTES: Final = 1 << 20

Stamp = tuple[int, int, int] | None
Profile = Mapping[str, str]


class Profiles:
    """The profiles that an environment's files hold."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._read: dict[Path, tuple[Stamp, dict[str, dict[str, str]]]] = {}

    def of(self, name: str) -> tuple[Profile, Profile] | None:
        """What the credentials file and the config file say of a profile; None where neither names it.

        Raises:
            SecretMissing: a file is there and cannot be read.
        """
        keys = self._file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials").get(name)
        config = self._file("AWS_CONFIG_FILE", "~/.aws/config")
        found = config.get("default") if name == "default" else None
        found = config.get(f"profile {name}", found)
        return None if keys is None and found is None else (keys or {}, found or {})

    def _file(self, variable: str, usual: str) -> dict[str, dict[str, str]]:
        path = _expanded(self._env.get(variable) or usual, self._env)
        try:
            about = path.stat()
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
        except OSError:
            return {}
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        if about.st_size > _MAX_BYTES:
            raise SecretMissing(f"{path} is too large for a file of profiles")
        parser = configparser.RawConfigParser(default_section="\0", strict=False)
        try:
            parser.read_string(path.read_text())
        except (OSError, UnicodeDecodeError):
            raise SecretMissing(f"{path} cannot be read") from None
        except configparser.Error:
            raise SecretMissing(f"{path} is no file of profiles") from None
        profiles = {_name(section): dict(parser[section]) for section in parser.sections()}
        self._read[path] = (stamp, profiles)
        return profiles


def _expanded(text: str, env: Mapping[str, str]) -> Path:
    """A path with `~` as the home that the environment names."""
    if text.startswith("~/") and env.get("HOME"):
        return Path(env["HOME"]) / text[2:]
    return Path(text).expanduser()


def _name(section: str) -> str:
    """`profile NAME` with its quotes and blanks taken away; any other section as it stands."""
    try:
        parts = shlex.split(section)
    except ValueError:
        return section
    return f"profile {parts[1]}" if len(parts) == 2 and parts[0] == "profile" else section
