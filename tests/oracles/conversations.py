"""Canonical conversations that nobody thought of, as a hypothesis strategy: for the formats with blocks."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
ID = st.one_of(st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True), TEXT)
MARK: Any = st.fixed_dictionaries({}, optional={"ttl": st.sampled_from(["5m", "1h"])})
DATA = st.sampled_from(["AAAA", "aGVsbG8="])
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)
SCHEMA: Any = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={"properties": st.dictionaries(NAME, st.just({"type": ["string", "null"], "default": None}))},
)


def _text(**more: Any) -> Any:
    return st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}, optional={"cache": MARK, **more})


_PICTURE: Any = st.fixed_dictionaries(
    {"type": st.just("image"), "data": DATA, "media_type": st.sampled_from(["image/png", "image/webp"])}
)
_PDF: Any = st.fixed_dictionaries(
    {"type": st.just("file"), "data": DATA, "media_type": st.just("application/pdf")},
    optional={"filename": TEXT},
)
_USER: Any = st.lists(st.one_of(_text(), _PICTURE, _PDF), min_size=1, max_size=3)


@st.composite
def _turns(draw: Any, origin: str) -> list[dict[str, Any]]:
    """What a model said, and what its tools gave."""
    thought = st.fixed_dictionaries(
        {"type": st.just("reasoning"), "text": TEXT, "signature": TEXT, "origin": st.just(origin)}
    )
    said = [*draw(st.lists(thought, max_size=1)), *draw(st.lists(_text(), max_size=2))]
    ids = draw(st.lists(ID, max_size=3, unique=True))
    for each in ids:
        given = draw(st.dictionaries(NAME, VALUE, max_size=2))
        said.append({"type": "tool_call", "id": each, "name": draw(NAME), "given": given})
    turns = [{"role": "assistant", "content": said or [{"type": "text", "text": "ok"}]}]
    if ids:
        results = [
            {"type": "tool_result", "id": each, "content": draw(st.lists(_text(), min_size=1, max_size=2))}
            for each in ids
        ]
        turns.append({"role": "tool", "content": results})
    return turns


@st.composite
def conversations(draw: Any, origin: str) -> dict[str, Any]:
    """A request. `given` of a tool call is what its arguments hold: write it as JSON before use.

    origin: the dialect whose signed thoughts there may be.
    """
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(st.lists(_text(), min_size=1, max_size=2))})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(_USER)})
        messages += draw(_turns(origin))
    messages.append({"role": "user", "content": draw(_USER)})
    more = {
        "temperature": st.floats(0, 1), "top_p": st.floats(0, 1), "top_k": st.integers(1, 99),
        "max_tokens": st.integers(1, 99_999), "stop": st.lists(TEXT, min_size=1, max_size=3),
        "user": TEXT, "seed": st.integers(0, 9),
        "tools": st.lists(
            st.fixed_dictionaries(
                {"name": NAME},
                optional={"description": TEXT, "parameters": SCHEMA, "strict": st.booleans(), "cache": MARK},
            ),
            min_size=1, max_size=3,
        ),
        "tool_choice": st.sampled_from([{"mode": "auto"}, {"mode": "none"}, {"mode": "required"}]),
        "parallel_tool_calls": st.booleans(), "cache": MARK,
        "response_format": st.one_of(
            st.fixed_dictionaries(
                {"type": st.just("json_schema"), "schema": SCHEMA},
                optional={"name": NAME, "strict": st.booleans()},
            ),
            st.just({"type": "json_object"}),
        ),
        "reasoning": st.fixed_dictionaries(
            {"effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"])}
        ),
    }  # fmt: skip
    return {
        "operation": "chat",
        "model": "m",
        "messages": messages,
        **draw(st.fixed_dictionaries({}, optional=more)),
    }
