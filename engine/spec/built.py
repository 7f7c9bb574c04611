"""THE TABLE: which fields of the language execute, and since which release; the rest is refused with E090.

One row for each spec class, by the keys as users write them. A test compares it with the classes, both ways:
a field that is in neither list fails the suite. What a later step builds moves from `later` to `now`, and the
list of refusals of the whole example (tests/compiler/whole_example) shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from engine.plan.values import OperationName, Secret

#: The release in which this step's fields began to execute.
FIRST: Final = "0.1.0"

#: Key -> release since which it executes; None: not built yet.
Row = Mapping[str, str | None]


def _row(now: str = "", later: str = "") -> Row:
    return dict.fromkeys(now.split(), FIRST) | dict.fromkeys(later.split())


_CALL: Final = "timeout retry params failures"

BUILT: Final[Mapping[str, Row]] = {
    # --- routes/, policies/
    "Workspace": _row(
        "deployments credentials routes nodes keys defaults require residency budgets limits groups alerts",
        "guards",
    ),
    "Defaults": _row(_CALL),
    "CallOptions": _row(_CALL),
    "Timeout": _row("connect first_token idle total"),
    "Retry": _row("extra failures backoff"),
    "Deployment": _row(
        "provider model region credentials endpoint settings wire_model concurrent quality "
        "execution_providers path threads breaker probe price limits",
    ),
    "Prices": _row("input output cached cache_write request second tools"),
    "ToolPriceSpec": _row("use most reads"),
    "Concurrent": _row("most queue wait"),
    "Breaker": _row("open_at of for"),
    "Probe": _row("every timeout"),
    "Credential": _row(
        "provider secret client_id client_secret tenant certificate token_file service_account private_key "
        "issuer key_id subject assertion access_key secret_key session_token profile role external_id "
        "session_name only"
    ),
    "Route": _row(
        f"{_CALL} match residency admit per_request stream reply_model start strict concurrent priority "
        "fair_by budgets limits",
        "guards",
    ),
    "Match": _row("models operations when"),
    "Admit": _row("input output tools json_schema n images audio files hosted_tools"),
    "PerRequest": _row("calls time cost"),
    "Stream": _row("switch_until on_cut"),
    "Budget": _row("limit window per steps missing was on_state_loss share"),
    "BudgetStep": _row("at alert use"),
    "Limit": _row("per requests tokens concurrent count on_exceed scope on_state_loss share headers"),
    "Throughput": _row("rate burst"),
    "Queue": _row("queue most"),
    "Jump": _row("use"),
    "Guard": _row("", "detect in action on_error unread unmask"),
    "Keys": _row("orgs tags clients jwt mtls"),
    "Tag": _row("values required"),
    "Client": _row("hash org tags groups models limits budgets expires ips"),
    "Group": _row("when models limits budgets residency ips", "guards"),
    "TokenIssuer": _row(
        "issuer audience jwks algorithms claims org tags groups leeway max_age refresh keep revoked"
    ),
    "Claims": _row("name org groups tags"),
    "Revoked": _row("subjects tokens"),
    "CertificateRule": _row("uri dns email cn org tags groups"),
    "Alert": _row("webhook format log", "pagerduty email"),
    "Require": _row("when residency budgets limits models admit per_request credentials state", "guards"),
    # --- node kinds: where the kind key is not built, nothing of the node is
    "UseNode": _row(f"{_CALL} use"),
    "FallbackNode": _row(f"{_CALL} fallback"),
    "BalanceNode": _row(f"{_CALL} balance rank tries score sticky"),
    "Member": _row("weight"),
    "Score": _row("quality cost speed"),
    "Sticky": _row("by ttl"),
    "SwitchNode": _row(f"{_CALL} switch else"),
    "SwitchArm": _row("when"),
    "RejectNode": _row("reject status message"),
    "RespondNode": _row("respond"),
    "SplitNode": _row(f"{_CALL} split sticky ramp"),
    "SplitArm": _row("share"),
    "RampStep": _row("from share"),
    "ClassifyNode": _row(f"{_CALL} classify as via labels judge embed"),
    "CascadeNode": _row(f"{_CALL} cascade escalate on_last"),
    "JudgeBelow": _row("judge_below judge"),
    "HedgeNode": _row(f"{_CALL} hedge after"),
    "EnsembleNode": _row(f"{_CALL} ensemble merge judge"),
    "MirrorNode": _row(f"{_CALL} mirror to share"),
    "CacheNode": _row(f"{_CALL} cache exact semantic scope_by"),
    "Semantic": _row("above ttl embed"),
    # --- engine.yaml
    "Settings": _row(
        "listen admin admin_key keys_secret probes state replicas timezone workers body_limit drain "
        "heartbeat watch debounce decision_log media overload idempotency usage tls "
        "trusted_proxies"
    ),
    "Usage": _row("file keep sums required"),
    "Tls": _row("certificate key clients client_required"),
    "Overload": _row("lag files memory"),
    "Media": _row("fetch http timeout"),
    # --- cases/: `engine test` runs them in a later step
    "Case": _row("", "case at key request upstream expect"),
    "CaseKey": _row("", "id name org tags"),
    "Answered": _row("", "input output text after"),
    "Succeeds": _row("", "ok"),
    "Bounds": _row("", "below above"),
    "Expect": _row("", "served_by calls status code route cost redactions"),
    # --- providers.d/
    "AdjustSpec": _row("drop clamp map refuse why when"),
    "ProviderSpec": _row(
        "extends replace retired title category aliases dialect speaks operations settings auth base_url "
        "residency price tools regions default_region headers paths can rename drop takes adjust params "
        "errors "
        "retry_after facts profiles models unknown_models compliance samples headroom batch",
    ),
    "SpeaksSpec": _row(
        "dialect when root base_url paths headers auth rename drop takes params adjust errors"
    ),
    "SettingSpec": _row("about pattern example default optional"),
    "HeadroomSpec": _row("left resets limit"),
    "RetryAfterSpec": _row("header path"),
    "AuthSpec": _row(
        "bearer header query aws_sigv4 oauth2_client_credentials oauth2_jwt_bearer saml2_bearer "
        "token_exchange azure_entra jwt_hs256 any_of pattern"
    ),
    "AwsSigV4": _row("service region sts_url"),
    "ClientCredentialsAuth": _row("token_url scope client_id client_secret send form"),
    "JwtBearerAuth": _row(
        "token_url scope audience service_account private_key issuer key_id subject metadata_url "
        "metadata_headers"
    ),
    "Saml2BearerAuth": _row("token_url scope assertion client_id client_secret send form"),
    "TokenExchangeAuth": _row(
        "token_url secret secret_field form body token expires_in expires_at lifetime client_id "
        "client_secret send"
    ),
    "EntraAuth": _row(
        "scope tenant client_id client_secret certificate token_file managed_identity authority"
    ),
    "KeyJwtAuth": _row("secret id_claim issued_claim unit lifetime header claims"),
    "HeaderAuth": _row("name prefix secret"),
    "QueryAuth": _row("name secret"),
    "RegionSpec": _row("base_url residency price models"),
    "ModelSpec": _row(
        "id context output can input_price output_price cached_price cache_write_price request_price price "
        "max_tokens_field tokenizer overhead source sampling efforts thinking upstream dialect forced_tools "
        "schema_by api_version quality modalities"
    ),
    "OverheadSpec": _row("message part tools tool hosted image request"),
    "ImageSpec": _row("most patch times base least"),
    "OverheadFile": _row("rules"),
    "OverheadRule": _row("models overhead source"),
    "ProviderSample": _row(
        "name operation model dialect region settings request asks sends url dropped refused response stream "
        "error status headers gives"
    ),
    # --- providers.d/dialects/
    "DialectSpec": _row(
        "extends replace title can finish usage costs blocks operations errors models samples"
    ),
    "OperationSpec": _row(
        "path stream_path ingress stream_ingress headers model_field stream_field stream_default "
        "max_tokens_fields usage_request forward native_only adjust batch request response stream inline poll"
    ),
    "CostsSpec": _row("dearer elsewhere hosted"),
    "DearerSpec": _row("field usual most why"),
    "HostedSpec": _row("uses all_uses told"),
    "InlineSpec": _row("images files max"),
    "PollSpec": _row("status pending succeeded failed at result cancel stream hosts every longest timeout"),
    "ElsewhereSpec": _row("url path method"),
    "RequestSpec": _row("check read write"),
    "ResponseSpec": _row("success_when raw_when read write"),
    "StreamSpec": _row("read write"),
    "StreamOptionsSpec": _row("data line inner"),
    "StreamReadSpec": _row("decoder options sentinel at_sentinel state rules look_for complete"),
    "StreamWriteSpec": _row("encoder sentinel ending named_events numbered state rules error"),
    "StreamRuleSpec": _row("when set emit error end continue"),
    "ErrorRuleSpec": _row("status path header told equals matches class"),
    "ErrorsSpec": _row("rules default read write types"),
    "ErrorTypeSpec": _row("status type code"),
    "UsageSpec": _row("input_includes_cached output_includes_reasoning"),
    "ModelsSpec": _row("write"),
    "DialectSample": _row(
        "name operation request asks model sends response stream error status headers gives refused"
    ),
}


@dataclass(frozen=True, slots=True)
class LaterValue:
    """A field that executes, but not with every value: `later` tells which, `what` names it."""

    later: Callable[[Any], bool]
    what: str
    instead: str | None = None


def _is(*words: Any) -> Callable[[Any], bool]:
    return lambda value: value in words


#: (class, key) -> the values that are not built yet. On a list, each item is asked.
VALUES: Final[Mapping[tuple[str, str], LaterValue]] = {
    ("Match", "operations"): LaterValue(
        lambda name: name not in get_args(OperationName),
        "this operation",
        "chat, embeddings, rerank and count_tokens are",
    ),
}


def later_secret(value: Any) -> LaterValue | None:
    """A secret from a vault, whatever the field."""
    if isinstance(value, Secret) and value.source == "vault":
        return LaterValue(_is(value), "a secret from a vault (`vault:`)", "write env:NAME or file:/path")
    return None


#: (class, key) -> what serves until it is built.
INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("Alert", "pagerduty"): "a `webhook` reaches whatever opens incidents; its `format: json` has all of it",
    ("Alert", "email"): "a `webhook` reaches whatever sends mail, and `log` is told to whoever watches it",
}
