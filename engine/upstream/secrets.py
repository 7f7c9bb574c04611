"""Where secrets are read: when a call needs one, never before, and never into a plan, a log or a `repr`.

`env:NAME` is read from the environment each time. `file:PATH` is read again once the file has changed
(another inode, size or time), so that a rotated secret is used from the next call on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.plan.values import Secret

#: A secret is a key, or a short document: a certificate, a service account.
_MAX_BYTES: Final = 64 * 1024
_PATH_MAX: Final = 4096


class SecretValue:
    """A secret's text. Printing it shows nothing; `reveal` is for the wire and nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "SecretValue(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and other._text == self._text

    def __hash__(self) -> int:
        return hash((SecretValue, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class SecretMissing(Exception):
    """A secret could not be read. The text says where it should have been, never what was there."""


class Secrets:
    """Reads secrets. `env`: the environment to read, by default the process's own."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env: Mapping[str, str] = os.environ if env is None else env
        self._files: dict[str, tuple[tuple[int, int, int], SecretValue]] = {}

    @property
    def env(self) -> Mapping[str, str]:
        """The environment that is read."""
        return self._env

    def get(self, secret: Secret) -> SecretValue:
        """The secret's value, without surrounding white space.

        Raises:
            SecretMissing: the variable is not set, the file cannot be read, or the text is no header value.
        """
        value = self._read(secret)
        _check(value.reveal(), secret)
        return value

    def first(self, places: tuple[Secret, ...]) -> SecretValue:
        """The secret at the first of these places that is set: vendors have several conventional names.

        Raises:
            SecretMissing: none is set, or the first that is cannot be used.
        """
        return self.get(self._first_set(places))

    def document(self, places: tuple[Secret, ...]) -> SecretValue:
        """The same for a text of several lines: a PEM, a JSON document.

        Where the text is an absolute path, it is what that file holds: vendors' variables name files so.
        """
        value = self._read(self._first_set(places))
        text = value.reveal()
        if len(text) < _PATH_MAX and "\n" not in text and Path(text).is_absolute():
            return self._file(text)
        return value

    def _first_set(self, places: tuple[Secret, ...]) -> Secret:
        found = next((place for place in places if self.stands(place)), None)
        if found is None and len(places) > 1:
            raise SecretMissing(f"none of {', '.join(map(str, places))} is set")
        return found or places[0]

    def _read(self, secret: Secret) -> SecretValue:
        if secret.source == "env":
            text = self._env.get(secret.name, "").strip()
            if not text:
                raise SecretMissing(f"the environment variable {secret.name} is not set")
            return SecretValue(text)
        if secret.source == "file":
            return self._file(secret.name)
        raise SecretMissing(f"{secret}: secrets from a vault are not built yet")

    def stands(self, place: Secret) -> bool:
        """Whether something is there, good or not."""
        if place.source == "env":
            return bool(self._env.get(place.name, "").strip())
        return place.source == "file" and Path(place.name).exists()

    def _file(self, name: str) -> SecretValue:
        path = Path(name)
        try:
            about = path.stat()
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
            known = self._files.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            if about.st_size > _MAX_BYTES:
                raise SecretMissing(f"the secret file {path} has more than {_MAX_BYTES} bytes")
            text = path.read_bytes().decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SecretMissing(f"the secret file {path} cannot be read: {reason}") from None
        if not text:
            raise SecretMissing(f"the secret file {path} is empty")
        value = SecretValue(text)
        self._files[name] = (stamp, value)
        return value


def _check(text: str, secret: Secret) -> None:
    if not text.isascii() or not text.isprintable():
        raise SecretMissing(f"{secret} holds line breaks or characters that a header cannot carry")
