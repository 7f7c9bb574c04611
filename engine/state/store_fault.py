"""A state store that cannot be used as it is: where it is, what is wrong, what to do."""

from __future__ import annotations


class StoreFault(OSError):
    """Raised while a store is opened; the message is for whoever starts the process."""
