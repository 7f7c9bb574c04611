"""What can go wrong while a request runs, and the HTTP status each becomes.

    EngineError
    ├── RequestError      the client's fault: 4xx
    ├── NoRoute           404, no route takes this model
    ├── NotAdmitted       413 / 400 / 403, the route does not let it in, or says no
    ├── NoCandidate       503, nobody could be asked
    ├── Overloaded        503, the route or the process has no room now
    ├── RateLimited       429, a limit of the client's is used up
    ├── BudgetExceeded    402, a budget is used up
    ├── StateUnavailable  503, what must be counted cannot be counted now
    ├── UpstreamError     the last failure's own error, by class
    └── PlanError         the workspace does not compile; carries the diagnostics

`STATUS` and `CODES` are stable: clients script against them. A dialect turns (failure, code, message)
into its own body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.diagnostics import Diagnostic
    from engine.runtime.record import DecisionRecord

#: failure class -> HTTP status of the answer where it was the last word.
STATUS: dict[str, int] = {
    "rate_limited": 429,
    "quota_exhausted": 429,
    "overloaded": 503,
    "timeout": 504,
    "connect": 502,
    "server": 502,
    "auth": 502,  # our credential, not the client's
    "permission": 502,
    "not_found": 502,
    "context_length": 400,
    "content_policy": 400,
    "bad_request": 400,
    "unsupported": 400,
    "cut": 502,
    "invalid_output": 502,
    "full": 503,
    "cancelled": 499,
}

#: failure class -> the stable `code` of the error body.
ERROR_CODES: dict[str, str] = {
    "rate_limited": "rate_limit_exceeded",
    "quota_exhausted": "insufficient_quota",
    "overloaded": "overloaded",
    "timeout": "upstream_timeout",
    "connect": "upstream_unreachable",
    "server": "upstream_error",
    "auth": "upstream_auth",
    "permission": "upstream_permission",
    "not_found": "upstream_not_found",
    "context_length": "context_length_exceeded",
    "content_policy": "content_policy_violation",
    "bad_request": "bad_request",
    "unsupported": "unsupported",
    "cut": "upstream_cut",
    "invalid_output": "invalid_output",
    "full": "no_candidate",
    "cancelled": "cancelled",
}


#: Codes of errors about who asks, for which formats may have names of their own beside failure classes.
ABOUT_KEYS: tuple[str, ...] = ("invalid_key", "key_not_allowed")


class EngineError(Exception):
    """Base of all. `status`, `code` and `message` go to the client; `param` names the field at fault.

    `record` is the decision record of the request, once the executor has let go of it. `refused_by` names the
    budget or limit that had no room, as `budget/NAME` or `limit/NAME`.
    """

    record: DecisionRecord | None = None
    refused_by: str | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int = 500,
        code: str = "internal_error",
        failure: str = "server",
        param: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.failure = failure
        self.param = param
        self.retry_after_ms = retry_after_ms


class RequestError(EngineError):
    """The request itself is wrong."""

    def __init__(
        self, message: str, *, status: int = 400, code: str = "bad_request", param: str | None = None
    ) -> None:
        super().__init__(message, status=status, code=code, failure="bad_request", param=param)


class NoRoute(EngineError):
    """No route takes the model. The message lists the names that exist."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=404, code="model_not_found", failure="not_found", param="model")


class NotAdmitted(EngineError):
    """The route does not let the request in (`admit`), or a `reject` node answered."""

    def __init__(self, message: str, *, status: int, code: str, param: str | None = None) -> None:
        super().__init__(message, status=status, code=code, failure="bad_request", param=param)


class NoCandidate(EngineError):
    """Nobody was left to ask."""

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(
            message, status=503, code="no_candidate", failure="full", retry_after_ms=retry_after_ms
        )


class Overloaded(EngineError):
    """The route has no place, or the process sheds load: nobody was asked, and later may work."""

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(
            message, status=503, code="overloaded", failure="full", retry_after_ms=retry_after_ms
        )


class RateLimited(EngineError):
    """A limit has no room for the request now; it was not asked for anybody."""

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(
            message,
            status=429,
            code=ERROR_CODES["rate_limited"],
            failure="rate_limited",
            retry_after_ms=retry_after_ms,
        )


class BudgetExceeded(EngineError):
    """A budget has no room for what the request may cost. `retry_after_ms` None: nor will it have any."""

    def __init__(self, message: str, *, budget: str, partition: str, retry_after_ms: int | None) -> None:
        super().__init__(
            message,
            status=402,
            code="budget_exceeded",
            failure="quota_exhausted",
            retry_after_ms=retry_after_ms,
        )
        self.refused_by = f"budget/{budget}"
        self.budget = budget
        self.partition = partition


class StateUnavailable(EngineError):
    """The state store cannot be asked, and a budget or limit says to reject then."""

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(
            message, status=503, code="state_unavailable", failure="full", retry_after_ms=retry_after_ms
        )


class UpstreamError(EngineError):
    """The last failure, when all targets failed; its class decides status and code."""

    def __init__(self, failure: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(
            message,
            status=STATUS[failure],
            code=ERROR_CODES[failure],
            failure=failure,
            retry_after_ms=retry_after_ms,
        )


class PlanError(Exception):
    """A workspace that does not compile. `diagnostics` says what, where and what to do."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        errors = [d for d in self.diagnostics if d.severity == "error"]
        first = str(errors[0]) if errors else "no plan"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(first + more)
