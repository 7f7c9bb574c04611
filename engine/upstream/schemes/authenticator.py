"""What a call asks of an auth scheme, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a call carries to show its credential. `query` is ready to be appended to a URL."""

    headers: Headers = ()
    query: str = ""

    def __repr__(self) -> str:
        return "Shown(***)"


NOTHING = Shown()


class Authenticator:
    """Shows one credential to one deployment. This one shows nothing; each scheme overrides what it needs.

    Before a call: where `waits`, ask `ready`, and `await prepare()` if it says no. Then `show`, and where
    `signs`, `sign` the finished request; nothing may be awaited between these.
    """

    #: A call may have to wait for a token: `ready` and `prepare` are to be asked.
    waits: bool = False
    #: The request is signed: `sign` gives its headers.
    signs: bool = False
    #: The header, and the query parameter as it stands in a URL, that carry the credential; None: none does.
    header: str | None = None
    parameter: str | None = None

    def there(self) -> str:
        """Where the credential comes from, in words; nobody is asked. Raises SecretMissing."""
        return "none is needed"

    def ready(self) -> bool:
        """Whether a call can go out now. Raises SecretMissing."""
        return True

    async def prepare(self) -> None:
        """Get what `show` and `sign` need. Raises SecretMissing or AuthFailed."""

    def show(self) -> Shown:
        """What the next call carries; the same object for as long as it is the same. Raises SecretMissing."""
        return NOTHING

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers of a signed request: those given and the signature."""
        return headers

    def refused(self) -> None:
        """The vendor did not take it: the next call is to show a new one, where new ones can be had."""
