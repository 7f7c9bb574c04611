"""One entry of litellm's as a row of ours: what a model can, takes and refuses, in the words of `ModelSpec`.

Only what the entry says is turned over; what vendors have in common, and what no source says, is in the rules
of `sources.yaml` (`rules.py`), which come after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.facts.litellm import Entry

OPERATIONS: Final = {"chat": "chat", "responses": "chat", "embedding": "embeddings", "rerank": "rerank"}
#: Abilities that flags speak of, in the order of the language.
_ABILITIES: Final = (
    "tools", "parallel_tools", "json_object", "json_schema", "images", "audio", "files", "reasoning",
    "prefill", "stream",
)  # fmt: skip
#: An entry with none of these is a price and no more: what the model can is unknown, not nothing.
_TELLING: Final = (
    "supports_function_calling", "supports_response_schema", "supports_vision", "supports_tool_choice",
    "supported_modalities", "supports_system_messages",
)  # fmt: skip
_MODALITIES: Final = ("text", "image", "audio", "video", "file")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Efforts that a model with words for efforts always takes; the others a flag must grant.
_USUAL: Final = frozenset({"low", "medium", "high"})


def facts(entry: Entry) -> dict[str, Any]:
    """The row without prices and source."""
    row: dict[str, Any] = {}
    operation = OPERATIONS[entry["mode"]]
    if operation != "chat":
        row["operation"] = operation
    if (context := _count(entry.get("max_input_tokens") or entry.get("max_tokens"))) is not None:
        row["context"] = context
    if operation == "chat":
        if (output := _count(entry.get("max_output_tokens"))) is not None:
            row["output"] = output
        if any(entry.get(flag) is not None for flag in _TELLING):
            row["can"] = list(_can(entry))
            row |= _reasoning(entry)
        if (forced := entry.get("supports_forced_tool_use")) is not None:
            row["forced_tools"] = bool(forced)
        elif entry.get("thinking_always_on"):
            row["forced_tools"] = False  # no call can be forced while it thinks
        if entry.get("supports_native_structured_output"):
            row["schema_by"] = "native"
        if _endpoints(entry) == {"/v1/responses"} or entry["mode"] == "responses":
            row["upstream"] = "responses"
    if operation != "chat" or "can" in row:
        row["modalities"] = list(_modalities(entry))
    if retires := entry.get("deprecation_date"):
        row["retires"] = retires
    return row


#: Where a last message of the assistant's is begun anew: to go on with it is asked for in another place or
#: way (DeepSeek's beta address), which nobody here writes.
_ANOTHER_PREFILL: Final = frozenset({"deepseek", "azure_ai", "vertex_ai-deepseek_models"})


def _can(entry: Entry) -> Iterator[str]:
    tools = bool(entry.get("supports_function_calling"))
    schema = bool(entry.get("supports_response_schema"))
    modalities = set(_modalities(entry))
    known = {
        "tools": tools,
        # Said of few: denied is denied, silence is not.
        "parallel_tools": tools and entry.get("supports_parallel_function_calling") is not False,
        "json_object": schema or tools,
        "json_schema": schema,
        "images": "image" in modalities,
        "audio": "audio" in modalities,
        "files": "file" in modalities,
        "reasoning": bool(entry.get("supports_reasoning")),
        "prefill": bool(entry.get("supports_assistant_prefill"))
        and entry.get("litellm_provider") not in _ANOTHER_PREFILL,
        "stream": entry.get("supports_native_streaming") is not False,
    }
    yield from (ability for ability in _ABILITIES if known[ability])


def _modalities(entry: Entry) -> Iterator[str]:
    said = set(entry.get("supported_modalities") or ())
    flags = {
        "text": True,
        "image": entry.get("supports_vision") or entry.get("supports_embedding_image_input"),
        "audio": entry.get("supports_audio_input"),
        "video": entry.get("supports_video_input"),
        "file": entry.get("supports_pdf_input"),
    }
    yield from (each for each in _MODALITIES if flags[each] or each in said)


def _reasoning(entry: Entry) -> dict[str, Any]:
    """How it is asked to reason, with which words, and whether it then takes a temperature."""
    row: dict[str, Any] = {}
    if entry.get("supports_sampling_params") is False:
        row["sampling"] = "never"
    if not entry.get("supports_reasoning"):
        return row
    if entry.get("supports_adaptive_thinking"):
        row["thinking"] = "adaptive"
    if efforts := _efforts(entry):
        row["efforts"] = efforts
    return row


def _efforts(entry: Entry) -> list[str]:
    said = entry.get("reasoning_effort_levels")
    if said:
        return [effort for effort in _EFFORTS if effort in said]
    granted = {effort: entry.get(f"supports_{effort}_reasoning_effort") for effort in _EFFORTS}
    if all(grant is None for grant in granted.values()):
        return []
    none = granted["none"] and not entry.get("thinking_always_on")
    granted |= {"none": none, **dict.fromkeys(_USUAL, True)}
    return [effort for effort in _EFFORTS if granted[effort]]


def _endpoints(entry: Entry) -> set[str]:
    return set(entry.get("supported_endpoints") or ()) - {"/v1/batch"}


def _count(value: Any) -> int | None:
    return int(value) if value else None
