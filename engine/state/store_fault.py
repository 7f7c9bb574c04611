"""A state store that cannot be used as it is: where it is, what is wrong, what to do."""

from __future__ import annotations


class StoreFault(OSError):
    """Raised while a store is opened; the message is for whoever starts the process."""


class StoreAway(StoreFault):
    """It is where it should be, or may be again, and cannot be asked now: later it may."""
