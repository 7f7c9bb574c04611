"""The bound of an image is at least what its vendor says that it bills, for the models of each vendor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest

from engine.compiler.overheads import rules, with_overhead
from engine.plan.vendors import Facts
from engine.runtime.pictures import image_tokens
from engine.runtime.tokens import images_of
from engine.spec.overhead import ImageSpec, OverheadRule, OverheadSpec

Formula = Callable[[int, int], int]

SIZES = ((1, 1), (200, 200), (512, 512), (1000, 1000), (1092, 1092), (1920, 1080), (3840, 2160), (8000, 400),
         (8000, 8000))  # fmt: skip


def _shrunk(width: int, height: int, sides: int, patches: int, patch: int) -> tuple[float, float]:
    """The largest size of that shape within so many pixels a side and so many patches."""
    scale = min(1.0, sides / max(width, height), math.sqrt(patches * patch * patch / (width * height)))
    return width * scale, height * scale


def claude(sides: int, most: int) -> Formula:
    """Anthropic's vision page, in its newer and in its older words."""

    def formula(width: int, height: int) -> int:
        w, h = _shrunk(width, height, sides, most, 28)
        return min(most, max(math.ceil(w / 28) * math.ceil(h / 28), math.ceil(w * h / 750)))

    return formula


def tiles(base: int, each: int) -> Formula:
    """OpenAI's vision page: into 2048 x 2048, then the short side to 768, then tiles of 512."""

    def formula(width: int, height: int) -> int:
        scale = min(1.0, 2048 / max(width, height))
        scale *= min(1.0, 768 / (min(width, height) * scale))
        return base + each * math.ceil(width * scale / 512) * math.ceil(height * scale / 512)

    return formula


def patches(most: int, times: float) -> Formula:
    """OpenAI's vision page: patches of 32 x 32, as many as the budget holds."""
    return lambda width, height: int(min(most, math.ceil(width / 32) * math.ceil(height / 32)) * times)


def gemini_2(width: int, height: int) -> int:
    """Vertex AI's page: tiles of the short side / 1.5, 256 to 768 pixels, of an image of 3072 at most."""
    if max(width, height) <= 384:
        return 258
    scale = min(1.0, 3072 / max(width, height))
    w, h = width * scale, height * scale
    tile = min(768, max(256, math.floor(min(w, h) / 1.5)))
    return 258 * math.ceil(w / tile) * math.ceil(h / tile)


def flat(tokens: int) -> Formula:
    return lambda _width, _height: tokens


#: A model, as some host calls it, and what its vendor's page says.
BILLED: Mapping[str, Formula] = {
    "claude-sonnet-4-6": claude(1568, 1568),
    "anthropic.claude-haiku-4-5-20251001-v1:0": claude(1568, 1568),
    "anthropic/claude-3.5-sonnet": claude(1568, 1568),
    "claude-opus-4-7@default": claude(2576, 4784),
    "claude-sonnet-5-5": claude(2576, 4784),
    "databricks-claude-fable-5-1": claude(2576, 4784),
    "gpt-4o-mini-2024-07-18": tiles(2833, 5667),
    "openai/gpt-4o": tiles(85, 170),
    "gpt-4.1": tiles(85, 170),
    "gpt-4.1-mini": patches(1536, 1.62),
    "gpt-4.1-nano": patches(1536, 2.46),
    "o3": tiles(75, 150),
    "o4-mini": patches(1536, 1.72),
    "gpt-5": tiles(70, 140),
    "gpt-5-nano": patches(1536, 2.46),
    "databricks-gpt-5-4-mini": patches(1536, 1.62),
    "gpt-5.2": patches(1536, 1.0),
    "gpt-5.5": patches(10_000, 1.0),
    "gpt-5.6-sol": patches(30_000, 1.2),
    "gpt-6.1-terra": patches(30_000, 1.2),
    "gemini-2.5-flash": gemini_2,
    "gemini-3.1-pro-preview": flat(2_240),
    "google/gemini-3-pro": flat(2_240),
    "gemini-flash-latest": gemini_2,
    "grok-4.3": flat(1_792),
    "amazon.nova-pro-v1:0": lambda w, h: max(1_300, int(w * h / 650)),
    "pixtral-large-latest": flat(64 * 64 + 64),
    "mistral-medium-2604": flat(55 * 55 + 55),
    "qwen3-vl-plus": flat(16_384),
    "Qwen/Qwen2.5-VL-72B-Instruct": flat(16_384),
    "meta-llama/llama-3-2-90b-vision-instruct": flat(4 * 1_601),
    "glm-4.5v": flat(12_288),
    "command-a-vision-07-2025": flat(13 * 256),
    "sonar-pro": lambda w, h: int(w * h / 750),
    "voyage-multimodal-3.5": lambda w, h: int(min(w * h, 16_000_000) / 560),
    "a model that nobody knows": tiles(2833, 5667),
}


@pytest.mark.parametrize("model", BILLED)
def test_no_vendor_bills_more_for_an_image(model: str) -> None:
    known = images_of([with_overhead(Facts(), model, None).image])
    for width, height in SIZES:
        billed = BILLED[model](width, height)
        assert billed <= image_tokens(known, (width, height)) <= image_tokens(known, None), (width, height)


def test_the_nearest_word_counts_key_by_key() -> None:
    facts = with_overhead(Facts(), "claude-opus-5", OverheadSpec(image=99, tool=7))
    assert facts.image is not None
    assert (facts.image.most, facts.overhead) == (99, {"tool": 7, "tools": 1000, "hosted": 2000})
    own = with_overhead(Facts(), "mine", OverheadSpec(image=ImageSpec(most=256, patch=14)))
    assert image_tokens(images_of([own.image]), (28, 28)) == 4
    assert with_overhead(Facts(), "mine", None) == Facts()


def test_every_rule_says_who_says_so() -> None:
    for rule in rules():
        read = OverheadRule.model_validate(rule)
        assert read.source
        assert read.overhead.model_dump(exclude_unset=True) == rule["overhead"]
        assert all(pattern == pattern.lower() for pattern in read.models)
