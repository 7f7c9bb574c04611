"""One connection to a Redis: commands go out together, and all of their answers come back, or it is dropped.

A connection on which anything was left unread (a cancelled caller, a deadline, half an answer) is closed at
once and never used again: the next caller would read what was meant for somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.state.redis.address import Address, Login, Place
from engine.state.redis.patience import Patience

Command = Sequence[str | bytes | int]


class Away(Exception):
    """The store cannot be asked now. `at_once`: it said so itself, so trying again at once is no use."""

    def __init__(self, why: str, at_once: bool = False) -> None:
        super().__init__(why)
        self.at_once = at_once


def missing() -> str | None:
    """What to install, where the client library is not there."""
    try:
        import redis.asyncio  # noqa: F401 - deferred: only who uses it needs it
    except ImportError:
        return "state: redis://... needs the package `redis`: pip install 'llm-runner-router[redis]'"
    return None


class Connection:
    """Made by `dial`. One exchange at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.run_id = ""

    @classmethod
    async def dial(cls, address: Address, place: Place, login: Login, patience: Patience) -> Connection:
        """Connect and log in. Raises Away."""
        from redis.asyncio import connection as lib  # deferred: only who uses it needs it

        said: dict[str, Any] = {
            "db": address.database, "username": login.user, "password": login.password, "protocol": 2,
            "socket_timeout": None, "socket_connect_timeout": None, "driver_info": None,
        }  # fmt: skip
        raw: lib.AbstractConnection
        if place.path is not None:
            raw = lib.UnixDomainSocketConnection(path=place.path, **said)
        elif address.tls:
            raw = lib.SSLConnection(host=place.host, port=place.port, ssl_ca_certs=login.ca, **said)
        else:
            raw = lib.Connection(host=place.host, port=place.port, **said)
        made = cls(raw)
        try:
            await patience.within(made._raw.connect())
        except BaseException as error:
            await made.close()
            if not isinstance(error, Exception):
                raise
            away = _away(error, place)
            if not isinstance(error, TimeoutError):
                away.at_once = True  # nobody is there, or it wants none of us
            raise away from error
        return made

    async def exchange(self, commands: Sequence[Command], patience: Patience) -> list[Any]:
        """Send commands and read an answer to each; an error is an answer too.

        Raises Away where not all of them come in time; then the connection is closed.
        """
        try:
            answers: list[Any] = await patience.within(self._exchange(commands))
            return answers
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise _away(error) from error
            raise

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        from redis.exceptions import ResponseError  # deferred, as above

        raw = self._raw
        if not raw.is_connected:
            raise Away("the connection was closed")
        await raw.send_packed_command(raw.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await raw.read_response())
            except ResponseError as error:
                answers.append(error)
        return answers

    async def send(self, command: Command) -> None:
        """Only send: what comes is read by `listen`. Raises Away."""
        try:
            await self._raw.send_packed_command(self._raw.pack_command(*command), check_health=False)
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise _away(error) from error
            raise

    async def listen(self) -> Any:
        """Wait for what the server sends by itself, for ever. Raises Away."""
        try:
            return await self._raw.read_response()
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise _away(error) from error
            raise

    @property
    def alive(self) -> bool:
        return bool(self._raw.is_connected)

    async def close(self) -> None:
        """Without waiting for anything, so that it is done in a cancelled task too."""
        await self._raw.disconnect(nowait=True)


def refusing(answer: Any) -> Away | None:
    """What an answer that is an error means: the store is away, whatever the error; None: no error."""
    if not isinstance(answer, Exception) or _code(answer) == "NOSCRIPT":
        return None
    return Away(f"it answers {_said(answer)}", at_once=True)


def _code(error: Exception) -> str:
    return getattr(error, "status_code", None) or ""


def _said(error: Exception) -> str:
    """With its code, which the library takes off."""
    text, code = str(error), _code(error)
    return text if not code or text.startswith(code) else f"{code} {text}"


def _away(error: Exception, place: Place | None = None) -> Away:
    if isinstance(error, Away):
        return error
    where = "" if place is None else f"{place}: "
    if isinstance(error, TimeoutError):
        return Away(f"{where}no answer in time")
    if _code(error):
        return Away(f"{where}it answers {_said(error)}", at_once=True)
    return Away(f"{where}{str(error) or type(error).__name__}")
