"""Why a credential could not be had. The texts hold places and codes, no secret, no vendor's sentence."""

from __future__ import annotations

from typing import Literal

#: `auth`: what we hold is refused or unusable. The others: whoever gives tokens cannot do so now.
AuthFailure = Literal["auth", "connect", "timeout", "server", "rate_limited"]


class AuthFailed(Exception):
    """No token came, or none could be asked for. `failure` is the class that the call fails with."""

    def __init__(self, failure: AuthFailure, message: str) -> None:
        super().__init__(message)
        self.failure: AuthFailure = failure
