"""Paths with a name in them."""

from __future__ import annotations

import pytest

from engine.server.path_patterns import PathPatterns

PATHS = PathPatterns(
    {"/v1/models/{model}:ask": 1, "/v1/models/{model}:streamAsk": 2, "/v1/{x}": 3, "/v1/models": 4}
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1/models/m:ask", (1, {"model": "m"})),
        ("/v1/models/a/b:c:ask", (1, {"model": "a/b:c"})),
        ("/v1/models/m:streamAsk", (2, {"model": "m"})),
        ("/v1/models/:ask", (3, {"x": "models/:ask"})),
        ("/v1/other", (3, {"x": "other"})),
        ("/v1/", None),
        ("/v2/models/m:ask", None),
    ],
)
def test_what_stands_behind_a_path(path: str, found: object) -> None:
    assert PATHS.find(path) == found
