"""`providers.d/NAME.yaml`: a vendor or a server: where a dialect is spoken, and the quirks there."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainValidator, WithJsonSchema

from engine.plan.values import OperationName
from engine.spec.adjust import AdjustSpec
from engine.spec.amounts import Count, Money, Multiplier, Price
from engine.spec.auth import AuthField
from engine.spec.containers import Listed
from engine.spec.dialect import Ability, ErrorRuleSpec, Template
from engine.spec.fault import wrong_type
from engine.spec.model import Spec, about
from engine.spec.names import Name, Word, Zone
from engine.spec.overhead import OverheadSpec
from engine.spec.plain import Flag, Fraction, JsonValue, Positive, Text
from engine.spec.price import ToolPriceField
from engine.spec.vendor_limits import HeadroomSpec, RetryAfter
from engine.spec.where import AddressTemplate, Root, SettingSpec


def _price_word(value: Any) -> Any:
    if value != "free":
        raise wrong_type(value, "`free`", "price: free, or input_price and output_price of the models")
    return value


Free = Annotated[Literal["free"], PlainValidator(_price_word), WithJsonSchema({"const": "free"})]


class RegionSpec(Spec):
    """One place a provider serves from."""

    noun: ClassVar[str] = "region"

    base_url: AddressTemplate | None = about(
        "Address that paths are appended to.", shown="the provider's `base_url`"
    )
    residency: Zone = about("Where data may be processed there.", default="unknown")
    price: Multiplier | None = about("Surcharge or discount on all prices there, like +10%.", shown="none")
    models: Listed[Text] | None = about("The only models that it serves, by our names.", shown="all")


class ModelSpec(Spec):
    """What is known of a model. Absent means unknown."""

    noun: ClassVar[str] = "model"

    id: Text | None = about("The vendor's name of it.", shown="the same name")
    context: Count | None = about("Tokens that fit, input and output together.")
    output: Count | None = about("Tokens that it writes at most.")
    can: Listed[Ability] | None = about(
        "What it can do; `[]` is nothing.", shown="what the dialect can, but `prefill`"
    )
    input_price: Price | None = about("Price of input tokens.")
    output_price: Price | None = about("Price of output tokens.")
    cached_price: Price | None = about(
        "Price of input tokens read from the vendor's cache.", shown="`input_price`"
    )
    cache_write_price: Price | None = about(
        "Price of input tokens written to its cache.", shown="`input_price`"
    )
    request_price: Money | None = about("Price of a call, whatever its tokens.", shown="$0")
    price: Free | None = about("`free`: calls cost nothing.")
    max_tokens_field: Text | None = about("Body field that limits its output.", shown="the dialect's first")
    tokenizer: Text | None = about("Tokenizer that counts as it does.")
    overhead: OverheadSpec | None = about(
        "Tokens of input beside the text: the bound from above.", shown="by its name"
    )
    source: Text | None = about("Where these facts come from, and their date.")
    sampling: Literal["always", "never", "without_reasoning"] | None = about(
        "Whether it takes `temperature` and its kin."
    )
    efforts: Listed[Text] | None = about("The words of `reasoning.effort` that it takes.")
    thinking: Literal["effort", "budget", "adaptive", "level", "none"] | None = about(
        "How it is asked to reason: by a word, by tokens, by its own choice, by a level, or not at all."
    )
    upstream: Literal["chat", "responses", "tools_by_responses"] | None = about(
        "The format of OpenAI's that it needs; the last one: Responses for requests with tools."
    )
    dialect: Name | None = about(
        "The format it is spoken to in: one of the provider's `speaks`.", shown="the provider's `dialect`"
    )
    forced_tools: Flag | None = about("Whether it takes a tool choice that forces a call.")
    schema_by: Literal["native", "tool"] | None = about(
        "How an answer is held to a JSON Schema: by the vendor, or by a tool that must be called."
    )
    api_version: Text | None = about("The version of the vendor's API that it needs.")
    quality: Fraction | None = about(
        "How good it is, by a measure of your own: what `rank: quality` and `score` compare.", examples=[0.8]
    )
    modalities: Listed[Literal["text", "image", "audio", "video", "file"]] | None = about(
        "What its input may hold."
    )


def _path_template(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    if not isinstance(value, str) or not value.startswith("/") or "#" in value:
        raise wrong_type(value, "a path that begins with /, or a template of one,", "/v1/chat/completions")
    return value


#: A path that may hold `${{ expr }}` and a query, or directives that make one.
PathTemplate = Annotated[
    Any, PlainValidator(_path_template), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
]


class SpeaksSpec(Spec):
    """A further format that is spoken at the same provider, and what is different there."""

    noun: ClassVar[str] = "speaks entry"

    dialect: Name = about("The wire format.", required=True)
    when: Text | None = about(
        "Requests for which this holds must go out in it. Sees `request`, `facts`, `target`, `provider`.",
        shown="where the client, or the model's `dialect`, asks for it",
    )
    root: Root | None = about("Path on the same host, in place of the base URL's own.", shown="as `base_url`")
    base_url: AddressTemplate | None = about(
        "Another address. Deployments with an `endpoint` of their own do not use it."
    )
    paths: dict[OperationName, PathTemplate] | None = about(
        "Operation to path, where it is not the dialect's."
    )
    headers: dict[str, Template] | None = about("Headers beside, or in place of, the provider's.")
    auth: AuthField | None = about(
        "How a call shows the credential, where it is not the provider's way. The key is the same."
    )
    rename: dict[str, Text] | None = about("Body field to its name here.")
    drop: Listed[Text] | None = about("Body fields that are refused there.")
    takes: Listed[Text] | None = about("What of the format only some vendors take, and this one does there.")
    params: dict[str, JsonValue] | None = about("Body fields that every call has.")
    adjust: Listed[AdjustSpec] | None = about("Rules in place of the provider's.", shown="the provider's")
    errors: Listed[ErrorRuleSpec] | None = about("Rules before the provider's.")


class ProviderSample(Spec):
    """An example with what it must become; `engine providers check` and the tests run it."""

    noun: ClassVar[str] = "provider sample"

    name: Text = about("What it shows.", required=True)
    operation: Text | None = about("The operation.", shown="chat")
    model: Text | None = about("The model that is called.", shown="the first")
    dialect: Name | None = about(
        "The format of `request`, or of the vendor's answer: one that it speaks.", shown="the provider's"
    )
    region: Name | None = about("The region that is called.", shown="the default one")
    settings: dict[Word, Text] | None = about("Settings of the deployment.", shown="their examples")
    request: JsonValue = about("A client's body, in the provider's dialect.")
    asks: JsonValue = about("A canonical request instead, where clients do not write the dialect.")
    sends: JsonValue = about("What goes over the wire for `request` or `asks`: the whole body.")
    url: Text | None = about("Where that goes, with `***` for a credential in the query.")
    dropped: Listed[Text] | None = about("What x-engine-dropped tells of it.")
    refused: Text | None = about("The words of the rule that refuses to send it.")
    response: JsonValue = about("A vendor's body.")
    stream: Listed[JsonValue] | None = about("A vendor's events, data by data, as in a dialect's samples.")
    error: JsonValue = about("A vendor's error body.")
    status: int | None = about("HTTP status of `error`.", shown="400")
    headers: dict[str, Text] | None = about(
        "Headers of `error` or `response`; beside `sends` those of the call, `***` for the credential."
    )
    gives: JsonValue = about("What it reads as: canonical reply, events, or error; named keys only.")


class ProviderSpec(Spec):
    """A provider file."""

    noun: ClassVar[str] = "provider"

    extends: Name | None = about("Provider to start from; what stands here is put over it.")
    replace: Flag | None = about("Replace the built-in provider of this name.", shown="false")
    retired: Text | None = about(
        "The service is no more, and what to use instead: naming it is an error that says this."
    )
    title: Text | None = about("Its name for people.", shown="the file's name")
    category: Literal["cloud", "aggregator", "self_hosted", "local"] = about(
        "What kind of place it is.", default="cloud"
    )
    aliases: Listed[Name] | None = about("Other names that `provider:` may use.")
    dialect: Name | None = about("The wire format spoken there; `none` for the engine's own local models.")
    auth: AuthField | None = about("How a call shows its credential.", shown="none")
    speaks: Listed[SpeaksSpec] | None = about(
        "Further formats that are spoken there: demanded `when` a condition holds, asked for by a model's "
        "`dialect`, or spoken by the client."
    )
    operations: Listed[OperationName] | None = about("What it serves.", shown="[chat]")
    settings: dict[Word, SettingSpec] | None = about(
        "Values, no secrets, that each deployment gives: `${{ settings.NAME }}` in addresses, "
        "`target.settings.NAME` in templates."
    )
    base_url: AddressTemplate | None = about(
        "Address, where there is one region only, or one for all regions with `${{ region }}` in it."
    )
    residency: Zone | None = about("Where data may be processed, with `base_url`.", shown="unknown")
    price: Free | None = about("`free`: every model costs nothing.")
    tools: dict[Text, ToolPriceField] | None = about(
        "What tools cost that the vendor runs, by the beginning of their `type`.",
        examples=[{"web_search": "$0.01"}],
    )
    regions: dict[Name, RegionSpec] | None = about("The places it serves from.")
    default_region: Name | None = about(
        "Region of a deployment that names none.", shown="`global`, or the only one"
    )
    headers: dict[str, Template] | None = about("Headers of every call. See `target`, `provider`.")
    paths: dict[OperationName, PathTemplate] | None = about(
        "Operation to path, where it is not the dialect's. Sees `target`, `provider`."
    )
    can: Listed[Ability] | None = about(
        "What its models can do, where nothing else is said of one.", shown="what the dialect can"
    )
    rename: dict[str, Text] | None = about("Body field to its name here.")
    drop: Listed[Text] | None = about(
        "Body fields that this vendor refuses: left out, and told in x-engine-dropped."
    )
    takes: Listed[Text] | None = about(
        "What of its format only some vendors take, like `cache_control`: templates write it only where it is"
        " listed here."
    )
    adjust: Listed[AdjustSpec] | None = about(
        "What becomes of chat requests that this vendor cannot take as they are: rules after the dialect's."
    )
    params: dict[str, JsonValue] | None = about(
        "Body fields that every chat has, unless the request says otherwise."
    )
    batch: Positive | None = about(
        "Most inputs of one embeddings call, where this vendor takes fewer than its dialect.",
        shown="the dialect's",
    )
    errors: Listed[ErrorRuleSpec] | None = about("Rules before the dialect's own.")
    retry_after: Listed[RetryAfter] | None = about(
        "Headers, or places in the error body, that say when to come again, in order.",
        shown="retry-after-ms, retry-after",
    )
    headroom: dict[Name, HeadroomSpec] | None = about(
        "What of a quota is left, by the vendor's headers: `requests: {left: ..., resets: ...}`."
    )
    facts: Name | None = about(
        "Table of generated model facts and prices: `providers.d/facts/NAME.json`.",
        shown="the one of the file's own name, if there is one",
    )
    profiles: dict[Text, Zone] | None = about(
        "Beginning of a model's name to where it is served then, whatever the region that is called: "
        "`{global.: global, eu.: eu}`. The facts are those of the name behind it."
    )
    models: dict[Text, ModelSpec | None] | None = about(
        "Its models, by our names: what is said here counts before the table of facts, `null` takes away."
    )
    unknown_models: Flag | None = about(
        "A model that is not listed may be used.", shown="true where none is known"
    )
    compliance: Listed[Text] | None = about("Notes on contracts and certificates, for people.")
    samples: Listed[ProviderSample] | None = about("Examples that are tests.")
