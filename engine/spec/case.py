"""`cases/*.yaml`: policy cases that `engine test` runs: a request, scripted vendors, what is expected."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Discriminator, RootModel, Tag, model_validator

from engine.spec.amounts import Count, Money, PositiveDuration
from engine.spec.call import FailureName
from engine.spec.containers import Listed, Mapped, Some
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import DeploymentName, Name, Word
from engine.spec.plain import JsonValue, Moment, Natural, Positive, Text


class CaseKey(Spec):
    """The client key that asks."""

    noun: ClassVar[str] = "case key"

    id: Name | None = about("Its id.")
    name: Name | None = about("Its name.")
    org: Name | None = about("Its organisation.")
    tags: Mapped[Word, Text] | None = about("Its tags.", examples=[{"team": "support"}])


class Answered(Spec):
    """An answer, by its tokens."""

    noun: ClassVar[str] = "scripted answer"

    input: Count | None = about("Input tokens.", shown="as counted")
    output: Count | None = about("Output tokens.", shown="16")
    text: Text | None = about("What it says.")
    after: PositiveDuration | None = about("How long it takes.", shown="at once")


class Succeeds(Spec):
    """A call that is answered."""

    noun: ClassVar[str] = "scripted success"

    ok: Answered = about("The answer.", required=True, examples=[{"input": 12, "output": 200}])


def _outcome(value: Any) -> str:
    return "form:ok" if isinstance(value, dict) else "form:failure"


Outcome = Annotated[
    Annotated[Succeeds, Tag("form:ok")] | Annotated[FailureName, Tag("form:failure")], Discriminator(_outcome)
]


def _script(value: Any) -> str:
    return "form:list" if isinstance(value, list | tuple) else "form:one"


Script = Annotated[
    Annotated[Outcome, Tag("form:one")] | Annotated[Some[Outcome], Tag("form:list")], Discriminator(_script)
]


class Bounds(Spec):
    """An amount between two bounds."""

    noun: ClassVar[str] = "bounds"

    below: Money | None = about("Less than this.", examples=["$0.01"])
    above: Money | None = about("More than this.")


class Expect(Spec):
    """What must come of it."""

    noun: ClassVar[str] = "expect"

    served_by: DeploymentName | None = about("The deployment that answers.")
    calls: Listed[DeploymentName] | None = about(
        "The calls that are made, in order.", examples=[["gpt", "gpt", "claude"]]
    )
    status: Positive | None = about("The HTTP status.", examples=[200])
    code: Word | None = about("The error's code.")
    route: Name | None = about("The route that takes it.")
    cost: Bounds | None = about("What it costs.")
    redactions: Natural | None = about("How many values guards mask.")

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if not self.model_fields_set:
            raise fault("E107", "the case expects nothing", "say what must come of it, like `served_by`")
        return self


class Case(Spec):
    """One case."""

    noun: ClassVar[str] = "case"

    case: Text = about("What it shows, in a sentence.", required=True)
    at: Moment | None = about(
        "When it happens.", shown="the first Monday of 2026, 12:00", examples=["2026-12-01T10:00"]
    )
    key: CaseKey | None = about("Who asks.", shown="no client key")
    request: Mapped[Text, JsonValue] = about(
        "What is asked, in OpenAI's form.",
        required=True,
        examples=[{"model": "assistant", "messages": [{"role": "user", "content": "hi"}]}],
    )
    upstream: Mapped[Name, Script] | None = about(
        "Deployment to what its calls come to, in order. One that is reached and not scripted fails the "
        "case.",
        examples=[{"gpt": ["overloaded"], "claude": {"ok": {"input": 12, "output": 200}}}],
    )
    expect: Expect = about("What must come of it.", required=True)


class CaseFile(RootModel[tuple[Case, ...]]):
    """A file of cases: a list."""
