"""`poll` of an operation: the vendor takes a call as a job, and says later how it ended."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from engine.spec.amounts import PositiveDuration
from engine.spec.containers import Listed
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.plain import JsonValue, Text


class ElsewhereSpec(Spec):
    """Where a further call about a job goes: a whole address, or a path after the base URL."""

    noun: ClassVar[str] = "further call"

    url: JsonValue = about("The whole address, as the vendor gave it: ${{ body.urls.get }}.")
    path: JsonValue = about("The path after the provider's base URL: /jobs/${{ body.id }}.")
    method: Literal["GET", "POST", "PUT", "DELETE"] | None = about(
        "HTTP method.", shown="`GET`; of `cancel` `POST`"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, data: Any) -> Any:
        if isinstance(data, dict) and ("url" in data) == ("path" in data):
            raise fault("E431", "a further call needs `url` or `path`, and not both", "keep one of them")
        return data


class PollSpec(Spec):
    """A call that the vendor takes as a job: submit, then ask until it has ended.

    Templates see `body` and `headers` of the last answer, and `target`.
    """

    noun: ClassVar[str] = "poll"

    status: JsonValue = about(
        "The job's status, a text. Absent: the answer is no job but final.", required=True
    )
    pending: Listed[Text] = about("Statuses of a job that goes on.", required=True)
    succeeded: Listed[Text] = about(
        "Statuses of one that has its answer. Any other status is a failure.", required=True
    )
    failed: Listed[Text] | None = about(
        "Statuses of one that failed: the error rules read the answer that says so."
    )
    at: ElsewhereSpec = about("Where to ask for the status.", required=True)
    result: ElsewhereSpec | None = about(
        "Where the answer lies, if not in the one that says it succeeded.", shown="in that one"
    )
    cancel: ElsewhereSpec | None = about(
        "How a job is called off that nobody waits for any more.", shown="it runs on"
    )
    stream: ElsewhereSpec | None = about(
        "Where the job can be followed as a stream, which `stream.read` reads.", shown="nowhere"
    )
    hosts: Listed[Text] | None = about(
        "Further hosts (`*.acme.ai`: those below it) that these addresses may be on. They are shown no"
        " credential.",
        shown="the base URL's only",
    )
    every: PositiveDuration | None = about("Time before the first question.", shown="500ms")
    longest: PositiveDuration | None = about(
        "Each pause is half as long again as the one before, up to this.", shown="5s"
    )
    timeout: PositiveDuration | None = about("How long a job may take.", shown="10m")
