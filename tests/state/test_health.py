"""What follows from the health of deployments: who is asked, who is skipped, why and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.plan.types import Breaker, Call, Credential, Deployment
from engine.plan.vendors import Facts
from engine.policies.failures import CLASSES
from engine.state.credentials import Refused
from engine.state.health import ALONE, BREAKING, Ended, Health, Peers

FAILURES = CLASSES
QUICK = Breaker(open_at=0.5, calls=4, window_ms=30_000, pause_ms=1_000)


def deployment(name: str, *credentials: str, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": name, "provider": "fake", "model": "m", "wire_model": "m", "region": "here",
        "base_url": "http://fake.invalid", "residency": "unknown", "facts": Facts(), "call": Call(),
        "credentials": tuple(Credential(c, "fake", {}, {}) for c in credentials), "breaker": QUICK,
    }  # fmt: skip
    return Deployment(**{**fields, **changes})


class Bed:
    """A `Health`, some deployments, and a clock to move."""

    def __init__(self, *deployments: Deployment) -> None:
        self.health = Health(lambda: 0.0)
        self.all = {each.name: each for each in deployments}
        self.now = 1_000_000

    def end(self, name: str, failure: str | None, times: int = 1, **how: Any) -> None:
        for _ in range(times):
            self.health.ended(self.all[name], Ended(failure, **how), self.now)

    def ask(self, name: str, peers: Sequence[str] = ()) -> Any:
        """Beside these others, all members of one `balance`."""
        names = [c.name for c in self.all[name].credentials]
        among = Peers((name, *peers), frozenset((name, *peers))) if peers else ALONE
        return self.health.admit(self.all[name], names, among, self.now)

    def told(self, name: str, peers: Sequence[str] = ()) -> tuple[str, int | None] | None:
        verdict = self.ask(name, peers)
        return (verdict.failure, verdict.retry_after_ms) if isinstance(verdict, Refused) else verdict


def test_nothing_is_known_at_first() -> None:
    bed = Bed(deployment("a"))
    assert bed.health.calm("a")
    assert bed.told("a") is None
    assert bed.health.told("b", 0).keys() == bed.health.told("a", bed.now).keys()
    bed.end("a", None)
    assert bed.health.calm("a")


@pytest.mark.parametrize("failure", sorted(BREAKING))
def test_what_opens_the_breaker(failure: str) -> None:
    bed = Bed(deployment("a"))
    bed.end("a", failure, 4)
    assert not bed.health.calm("a")
    assert bed.told("a") == ("full", 1_000)
    assert "breaker of a is open" in bed.ask("a").why
    assert bed.health.told("a", bed.now)["opened"] == 1


@pytest.mark.parametrize(
    "failure",
    ["bad_request", "context_length", "content_policy", "unsupported", "cancelled", "invalid_output", "full"],
)
def test_what_says_nothing_of_health(failure: str) -> None:
    bed = Bed(deployment("a"))
    bed.end("a", failure, 50)
    assert bed.health.calm("a")
    assert bed.health.told("a", bed.now)["calls"] == 0


@pytest.mark.parametrize("verdict", [None, "cancelled", "bad_request", "rate_limited", "auth", "server"])
def test_the_single_trial(verdict: str | None) -> None:
    bed = Bed(deployment("a", "k"))
    bed.end("a", "server", 4, credential="k")
    bed.now += 1_000
    trial = bed.ask("a")
    assert trial == 1
    assert bed.told("a") == ("full", 1_000)
    assert bed.health.trials() == 1
    bed.end("a", verdict, trial=trial, credential="k")
    assert bed.health.trials() == 0
    if verdict is None:
        assert bed.told("a") is None
        assert bed.health.calm("a")
    elif verdict == "server":
        assert bed.told("a") == ("full", 2_000)
    else:
        assert bed.ask("a") == 2, "its place is free again"


def test_a_trial_needs_no_place_where_the_credential_is_refused() -> None:
    bed = Bed(deployment("a", "k"))
    bed.end("a", "server", 4, credential="k")
    bed.end("a", "quota_exhausted", credential="k")
    bed.now += 1_000
    assert bed.told("a") == ("quota_exhausted", 9_000)
    assert bed.health.trials() == 0


def test_cooldown_is_for_as_long_as_the_vendor_said() -> None:
    bed = Bed(deployment("a"))
    bed.end("a", "rate_limited", 20, delay_ms=2_000)
    assert bed.told("a") == ("full", 2_000)
    assert bed.health.told("a", bed.now)["breaker"] == "closed"
    bed.now += 2_000
    assert bed.told("a") is None


def test_a_call_that_goes_well_ends_the_row_but_no_pause() -> None:
    bed = Bed(deployment("a"))
    bed.end("a", "rate_limited", 3)
    bed.end("a", None)
    assert bed.told("a") == ("full", 1_000), "it may have begun before"
    bed.now += 1_000
    bed.end("a", None)
    assert bed.told("a") is None
    assert bed.health.calm("a")
    bed.end("a", "rate_limited", 2)
    assert bed.told("a") is None


def test_an_overloaded_vendor_may_say_when_to_come_back() -> None:
    bed = Bed(deployment("a"))
    bed.end("a", "overloaded", delay_ms=3_000)
    assert bed.told("a") == ("full", 3_000)


# --- credentials ----------------------------------------------------------------------------------------


def shown(bed: Bed, name: str, turn: int = 0) -> str:
    return bed.health.credentials.choose(bed.all[name], bed.all[name].credentials, turn, bed.now).name


def test_a_rate_limit_is_one_credentials() -> None:
    bed = Bed(deployment("a", "k", "l"))
    bed.end("a", "rate_limited", credential="k", delay_ms=5_000)
    assert bed.told("a") is None
    assert {shown(bed, "a", turn) for turn in range(4)} == {"l"}
    assert bed.health.credentials.another(bed.all["a"], ["k", "l"], bed.now)
    bed.end("a", "rate_limited", credential="l", delay_ms=2_000)
    assert bed.told("a") == ("full", 2_000)
    assert not bed.health.credentials.another(bed.all["a"], ["k", "l"], bed.now)


def test_a_dead_key_is_dead_at_all_deployments_of_its_vendor() -> None:
    bed = Bed(deployment("a", "k"), deployment("b", "k", "l"), deployment("c", "k", provider="other"))
    bed.end("a", "auth", credential="k")
    assert bed.told("a") is None, "a token may just have run out"
    assert shown(bed, "b") == "l", "but others come first"
    bed.end("a", "auth", credential="k")
    assert bed.told("a") == ("auth", 1_000)
    assert bed.told("b") is None
    assert bed.told("c") is None
    assert bed.health.told("b", bed.now)["refused"] == {"k": {"failure": "auth", "aside_ms": 1_000}}
    bed.now += 1_000
    assert shown(bed, "a") == "k"
    assert bed.told("a") == ("auth", 5_000), "others wait for the one that tries it"
    bed.end("b", None, credential="k")
    assert bed.told("a") is None
    assert bed.health.calm("a")


@pytest.mark.parametrize("failure", ["rate_limited", "server", "bad_request", "cancelled"])
def test_a_call_that_tries_a_dead_key_and_fails_otherwise_keeps_nobody_away(failure: str) -> None:
    bed = Bed(deployment("a", "k"), deployment("b", "k"))
    bed.end("a", "auth", 2, credential="k")
    bed.now += 1_000
    assert shown(bed, "a") == "k"
    assert bed.told("b") == ("auth", 5_000)
    bed.end("a", failure, credential="k")
    assert bed.told("b") is None


def test_no_permission_is_one_deployments() -> None:
    bed = Bed(deployment("a", "k"), deployment("b", "k"))
    bed.end("a", "permission", 3, credential="k")
    assert bed.told("a") == ("permission", 1_000)
    assert bed.told("b") is None


def test_an_exhausted_quota_waits_for_its_reset() -> None:
    bed = Bed(deployment("a", "k"))
    bed.end("a", "quota_exhausted", credential="k", delay_ms=3_600_000)
    assert bed.told("a") == ("quota_exhausted", 3_600_000)
    assert "k is refused" in bed.ask("a").why


def test_without_credentials_what_is_shown_is_refused_all_the_same() -> None:
    bed = Bed(deployment("a"))
    bed.end("a", "auth", 2)
    assert bed.told("a") == ("auth", 1_000)


def test_of_credentials_that_are_all_aside_one_is_still_shown() -> None:
    bed = Bed(deployment("a", "k"))
    bed.end("a", "quota_exhausted", credential="k")
    assert shown(bed, "a") == "k"


# --- peers ----------------------------------------------------------------------------------------------


def three() -> Bed:
    usual = Breaker()
    return Bed(*(deployment(name, breaker=usual) for name in "abc"))


def worse(bed: Bed, name: str, peers: str) -> None:
    """Three in ten calls fail there, none at its peers."""
    for peer in peers:
        bed.end(peer, None, 100)
    for _ in range(40):
        bed.end(name, None, 7)
        bed.end(name, "server", 3, members=(name, *peers))


def test_an_outlier_is_set_aside_among_its_peers_only() -> None:
    bed = three()
    worse(bed, "a", "bc")
    assert bed.told("a", "bc") == ("full", 10_000)
    assert "more often than its peers" in bed.ask("a", "bc").why
    assert bed.told("a") is None, "where there is nobody else, it serves"
    bed.now += 10_000
    assert bed.told("a", "bc") is None
    assert bed.health.calm("a")


def test_at_most_half_of_the_peers_are_out() -> None:
    bed = three()
    worse(bed, "a", "bc")
    worse(bed, "b", "ac")
    assert bed.told("a", "bc") == ("full", 10_000)
    assert bed.told("b", "ac") is None


def test_panic_where_all_are_set_aside_ejections_count_no_more() -> None:
    bed = three()
    worse(bed, "a", "b")
    bed.end("b", "server", 120)
    assert bed.told("b", "a") == ("full", 5_000), "nothing goes well there"
    assert bed.told("a", "b") is None


def test_panic_asks_those_of_whose_calls_some_go_well() -> None:
    bed = three()
    for name in "ab":
        for _ in range(10):
            bed.end(name, None, 5)
            bed.end(name, "server", 6)
        assert bed.health.told(name, bed.now)["breaker"] == "open"
    assert bed.told("a", "b") is None
    assert bed.told("b", "a") is None
    assert bed.told("a") == ("full", 5_000), "alone, it is left in peace"
    assert bed.told("a", "bc") == ("full", 5_000), "c could be asked"
    bed.end("a", "server", 20)
    assert bed.told("a", "b") == ("full", 5_000), "now nothing goes well there"


def test_an_ejection_is_nothing_to_a_fallback() -> None:
    bed = three()
    worse(bed, "a", "b")
    assert bed.told("a", "b") == ("full", 10_000)
    assert bed.health.admit(bed.all["a"], [], Peers((), frozenset("ab")), bed.now) is None


def test_a_peer_that_cools_down_is_set_aside_too() -> None:
    bed = three()
    worse(bed, "a", "b")
    bed.end("b", "rate_limited", delay_ms=60_000)
    assert bed.told("a", "b") is None


def test_a_peer_without_a_good_key_is_set_aside_too() -> None:
    bed = Bed(deployment("a", breaker=Breaker()), deployment("b", "k", "l"))
    worse(bed, "a", "b")
    assert bed.told("a", "b") == ("full", 10_000)
    for credential in "kl":
        bed.end("b", "quota_exhausted", credential=credential)
    assert bed.told("a", "b") is None


# --- retry budgets, probes, plans -----------------------------------------------------------------------


def test_both_budgets_pay() -> None:
    bed = Bed(deployment("a"), deployment("b"))
    assert bed.health.retries.of_routes(bed.now) == {}
    bed.health.retries.refill("r", "a")
    for route in ("r", "s"):
        for _ in range(100):
            assert bed.health.retries.draw(route, "a", bed.now, in_place=False) is None
    assert bed.health.retries.draw("t", "a", bed.now, in_place=False) == "deployment a"
    for _ in range(100):
        assert bed.health.retries.draw("r", "b", bed.now, in_place=False) is None
    assert bed.health.retries.draw("r", "b", bed.now, in_place=False) == "route r"
    bed.health.retries.refill("r", "a")
    bed.health.retries.refill("r", "x")
    bed.health.retries.give_back("s", "x")
    assert bed.health.retries.of_routes(bed.now) == {"r": 4, "s": 101, "t": 200}


@pytest.mark.parametrize(
    ("failure", "state"),
    [(None, "closed"), ("server", "open"), ("rate_limited", "open"), ("cancelled", "open")],
)
def test_a_probe_asks_whatever_the_breaker_says(failure: str | None, state: str) -> None:
    bed = Bed(deployment("a"))
    bed.end("a", "server", 4)
    bed.health.probed(bed.all["a"], Ended(failure), bed.now)
    assert bed.health.told("a", bed.now)["breaker"] == state
    assert bed.health.wants_probe(bed.all["a"], 1_000, bed.now) is (failure is not None)


def test_failed_probes_open_a_closed_one() -> None:
    bed = Bed(deployment("a"))
    assert bed.health.wants_probe(bed.all["a"], 1_000, bed.now)
    for _ in range(4):
        bed.health.probed(bed.all["a"], Ended("timeout"), bed.now)
    assert bed.told("a") == ("full", 1_000)
    bed.end("a", "rate_limited", delay_ms=1)
    assert bed.health.wants_probe(bed.all["a"], 1_000, bed.now)
    bed.end("a", "rate_limited", delay_ms=1_000)
    assert not bed.health.wants_probe(bed.all["a"], 1_000, bed.now), "the vendor wants a pause"


def test_health_outlives_a_plan_where_it_measures_the_same() -> None:
    bed = Bed(deployment("a"), deployment("b"))
    for name in "ab":
        bed.end(name, "server", 4)
    bed.all["a"] = deployment("a", breaker=Breaker(0.9, 50, 30_000, 9_000))
    bed.all["b"] = deployment("b", wire_model="another")
    assert bed.told("a") == ("full", 1_000)
    assert bed.told("b") is None
    bed.health.retries.draw("r", "a", bed.now, in_place=False)
    bed.end("a", "auth", credential="k")
    bed.health.keep(["b"], [])
    assert bed.health.healthy("a", bed.now)
    assert bed.health.retries.of_routes(bed.now) == {}
    bed.health.keep([], [])
    assert bed.health.calm("a")


def test_healthy_is_told_of_all() -> None:
    bed = Bed(deployment("a"), deployment("b"))
    bed.end("a", "server", 4)
    bed.end("b", "server", 1)
    assert [bed.health.healthy(name, bed.now) for name in "abc"] == [False, True, True]


class Machine(RuleBasedStateMachine):
    """Any order of calls at two peers of one vendor, with and without trials that are told of."""

    NAMES = ("a", "b")

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed(deployment("a", "k", "l"), deployment("b", "k"))
        self.under_way: list[tuple[str, str, int | None]] = []

    def peers(self, name: str) -> tuple[str, ...]:
        return tuple(other for other in self.NAMES if other != name)

    @rule(ms=st.integers(0, 40_000))
    def time_passes(self, ms: int) -> None:
        self.bed.now += ms

    @rule(name=st.sampled_from(NAMES), turn=st.integers(0, 3))
    def somebody_asks(self, name: str, turn: int) -> None:
        calm = self.bed.health.calm(name)
        verdict = self.bed.ask(name, self.peers(name))
        if isinstance(verdict, Refused):
            assert not calm
            assert verdict.retry_after_ms is None or verdict.retry_after_ms > 0
            assert verdict.failure in {"full", "auth", "permission", "quota_exhausted"}
        else:
            shown = self.bed.health.credentials.choose(
                self.bed.all[name], self.bed.all[name].credentials, turn, self.bed.now
            )
            self.under_way.append((name, shown.name, verdict))

    @precondition(lambda self: bool(self.under_way))
    @rule(
        which=st.integers(0, 100),
        failure=st.sampled_from([None, *FAILURES]),
        delay=st.sampled_from([None, 0, 1_000, 60_000]),
        times=st.integers(1, 8),
    )
    def a_call_ends(self, which: int, failure: str | None, delay: int | None, times: int) -> None:
        """Others like it end the same way, so that something comes of it."""
        name, credential, trial = self.under_way.pop(which % len(self.under_way))
        for _ in range(times):
            how = Ended(failure, delay, credential, trial, self.NAMES)
            self.bed.health.ended(self.bed.all[name], how, self.bed.now)
            trial = None

    @rule(name=st.sampled_from(NAMES), failure=st.sampled_from([None, "server", "auth", "bad_request"]))
    def a_probe_ends(self, name: str, failure: str | None) -> None:
        self.bed.health.probed(self.bed.all[name], Ended(failure, credential="k"), self.bed.now)

    @invariant()
    def there_are_no_more_trials_than_deployments(self) -> None:
        assert self.bed.health.trials() <= len(self.NAMES)

    @invariant()
    def what_is_told_can_be_read(self) -> None:
        for name in self.NAMES:
            told = self.bed.health.told(name, self.bed.now)
            assert 0 <= told["failed"] <= told["calls"]

    def teardown(self) -> None:
        """Whatever happened: after a quiet while everybody is asked again, and a good call makes all fine."""
        self.bed.now += 600_000
        for name in self.NAMES:
            verdict = self.bed.ask(name, self.peers(name))
            assert not isinstance(verdict, Refused), verdict
            for credential in self.bed.all[name].credentials:
                self.bed.end(name, None, credential=credential.name, trial=verdict)
            assert self.bed.ask(name, self.peers(name)) is None
        assert all(self.bed.health.calm(name) for name in self.NAMES)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
