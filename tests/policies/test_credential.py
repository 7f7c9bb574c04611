"""Whether a credential may be shown."""

from __future__ import annotations

import pytest

from engine.policies.credential import LONGEST_MS, TRIAL_MS, CredentialHealth


@pytest.mark.parametrize(
    ("refusals", "left"),
    [
        pytest.param(["auth"], 0, id="a-token-may-have-run-out"),
        pytest.param(["auth"] * 2, 1_000, id="a-dead-key"),
        pytest.param(["auth"] * 4, 4_000, id="doubles"),
        pytest.param(["auth"] * 40, LONGEST_MS, id="up-to-the-longest"),
        pytest.param(["permission"] * 2, 0, id="may-be-the-content"),
        pytest.param(["permission"] * 3, 1_000, id="not-allowed"),
        pytest.param(["quota_exhausted"], 10_000, id="no-money"),
        pytest.param(["quota_exhausted"] * 2, 20_000, id="still-no-money"),
        pytest.param(["auth", "permission", "auth"], 0, id="another-class-is-no-row"),
    ],
)
def test_refusals(refusals: list[str], left: int) -> None:
    known = CredentialHealth()
    for failure in refusals:
        known.refused(failure, 0, None)
    assert known.left_ms(0) == left
    assert known.why == refusals[-1]


@pytest.mark.parametrize(
    ("failure", "times", "left"), [("quota_exhausted", 1, 86_400_000), ("auth", 2, 1_000)]
)
def test_only_a_quota_has_a_reset(failure: str, times: int, left: int) -> None:
    known = CredentialHealth()
    for _ in range(times):
        known.refused(failure, 0, 86_400_000)
    assert known.left_ms(0) == left


def test_one_call_tries_it_again_and_the_others_wait_for_that() -> None:
    known = CredentialHealth()
    known.shown(0)
    assert known.left_ms(0) == 0, "nothing is tried of one that is fine"
    known.refused("quota_exhausted", 0, None)
    known.shown(9_999)
    assert known.left_ms(10_000) == 0, "shown while it is aside, because no other was left"
    known.shown(10_000)
    assert known.left_ms(10_001) == TRIAL_MS - 1


def test_a_trial_that_says_nothing_makes_room_for_the_next() -> None:
    known = CredentialHealth()
    known.refused("quota_exhausted", 0, None)
    known.unsaid(1)
    assert known.left_ms(1) == 9_999, "no trial ended"
    known.shown(10_000)
    known.unsaid(10_050)
    assert known.left_ms(10_050) == 0
    known.shown(10_060)
    known.refused("quota_exhausted", 10_070, None)
    known.unsaid(10_080)
    assert known.left_ms(10_080) == 19_990, "the trial was refused"
