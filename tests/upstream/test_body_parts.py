"""What is put into a wire body: the limit of its output, and params."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine.upstream.output_limit import OutputLimit
from engine.upstream.params import put_over

NAMES = ["options.num_predict"]


@pytest.mark.parametrize(
    ("names", "preferred", "limit", "body", "gives"),
    [
        (["a", "b"], None, 5, {}, {"a": 5}),
        (["a", "b"], None, 5, {"b": 9}, {"b": 5}),
        (["a", "b"], "a", None, {"b": 9}, {"a": 9}),
        (["a", "b"], "c", 5, {"a": 1, "b": 9}, {"c": 5}),
        (["a", "b"], None, None, {"x": 1}, {"x": 1}),
        (NAMES, None, 5, {}, {"options": {"num_predict": 5}}),
        (NAMES, None, 5, {"options": {"a": 1, "num_predict": 9}}, {"options": {"a": 1, "num_predict": 5}}),
        (NAMES, None, None, {"options": {"seed": 1}}, {"options": {"seed": 1}}),
        (NAMES, None, 5, {"options": None}, {"options": {"num_predict": 5}}),
        (["g.h.i", "j"], None, 5, {"g": {"h": {"k": 1}}, "j": 2}, {"g": {"h": {"k": 1}}, "j": 5}),
    ],
)  # fmt: skip
def test_the_limit(names: Any, preferred: Any, limit: Any, body: Any, gives: Any) -> None:
    theirs = copy.deepcopy(body)
    ours = dict(theirs)
    OutputLimit(names, preferred).set(ours, limit)
    assert ours == gives
    assert theirs == body  # nothing of the client's own body was changed


def test_params_go_into_maps_and_over_the_rest() -> None:
    theirs: dict[str, Any] = {
        "options": {"seed": 1, "num_predict": 5},
        "stop": ["a"],
        "format": {"type": "object"},
    }
    ours = dict(theirs)
    put_over(ours, {"options": {"num_ctx": 9, "seed": 2}, "stop": ["b"], "format": "json", "think": {"a": 1}})
    options = {"seed": 2, "num_predict": 5, "num_ctx": 9}
    assert ours == {"options": options, "stop": ["b"], "format": "json", "think": {"a": 1}}
    assert theirs["options"] == {"seed": 1, "num_predict": 5}
