"""What a scheme has to work with: the slots that a credential fills, and the environment behind them.

A credential that a workspace defines is taken whole: each slot it names must be readable, and nothing is
filled in from elsewhere, so that one team's key never stands in for another's. Without one, the provider
file's own places hold, of which any may be empty: the scheme then looks for its next source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.plan.values import Secret
from engine.upstream.secrets import SecretMissing, Secrets

Places = Mapping[str, tuple[Secret, ...]]


class Given:
    """The slots of one scheme, read when they are asked for.

    places: slot -> where its secret is read, the first that is set. settings: slot -> plain text.
    explicit: they come from a credential of the workspace, not from the provider file.
    """

    def __init__(
        self, secrets: Secrets, places: Places, settings: Mapping[str, str], *, explicit: bool
    ) -> None:
        self.explicit = explicit
        self._secrets = secrets
        self._places = places
        self._settings = settings

    @property
    def env(self) -> Mapping[str, str]:
        """The environment that conventional variables are read from."""
        return self._secrets.env

    @property
    def key(self) -> str:
        """Names the slots and their places, not what is there: equal for equal credentials."""
        return repr((self.explicit, sorted(self._places.items()), sorted(self._settings.items())))

    def text(self, slot: str) -> str | None:
        """What fills a slot, on one line; None where nothing does.

        Raises:
            SecretMissing: the credential names a place that cannot be read.
        """
        return self._read(slot, document=False)

    def document(self, slot: str) -> str | None:
        """The same for a text of several lines (a certificate, a JSON file).

        Where the text that is found is an absolute path, the document is what that file holds: that is how
        vendors' own variables name their files.
        """
        return self._read(slot, document=True)

    def need(self, slot: str) -> str:
        """`text`, where the scheme cannot do without. Raises SecretMissing."""
        found = self.text(slot)
        if found is None:
            raise SecretMissing(self.lacks(slot))
        return found

    def lacks(self, *slots: str) -> str:
        """Says that none of these slots is filled, and where they were looked for."""
        names = " or ".join(f"`{slot}`" for slot in slots)
        places = [str(place) for slot in slots for place in self._places.get(slot, ())]
        if places and not self.explicit:
            return f"no {names}: {' and '.join(places)} {'is' if len(places) == 1 else 'are'} not set"
        return f"the credential has no {names}"

    def _read(self, slot: str, *, document: bool) -> str | None:
        if slot in self._settings:
            text = self._settings[slot]
            if document and Path(text).is_absolute():
                return self._secrets.document((Secret("file", text),)).reveal()
            return text
        places = self._places.get(slot)
        if not places:
            return None
        if not self.explicit and not any(self._secrets.stands(place) for place in places):
            return None
        value = self._secrets.document(places) if document else self._secrets.first(places)
        return value.reveal()
