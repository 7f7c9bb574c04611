"""Alerts against a real webhook on loopback: once, in the background, tried again, no secret told."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

sys.path.append(str(Path(__file__).parent.parent / "upstream"))

from scripted import Connection, Scripted, whole

from engine.observe import alerts as module
from engine.observe.alerts import Alerts
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.money import Alert, Budget, BudgetStep, MoneySegment, Window
from engine.plan.values import Secret
from engine.runtime.clock import SystemClock
from engine.state.ledger import Standing
from engine.state.memory_ledger import MemoryLedger
from engine.upstream.direct_transport import DirectTransport
from engine.upstream.secrets import Secrets

DOLLAR = 10**9
EIGHTY = BudgetStep(0.8, "ops")
MONTH = Budget("support", "cost", 500 * DOLLAR, Window("month"), steps=(EIGHTY,))
AT_83 = Standing(500 * DOLLAR, spent=415 * DOLLAR, held=2_100_000_000, left=1, resets_ms=3_600_000)
CANARY = "T0/B1/canary"


class Clock(SystemClock):
    """The system's, but for the time of day."""

    at = 1_796_119_200.0  # 2026-12-01T10:00:00Z

    def wall(self) -> float:
        return self.at


class Webhook:
    """Answers to order and keeps what it was told."""

    def __init__(self) -> None:
        self.answers: list[bytes | float] = []  # a float: silence of so many seconds
        self.told: list[dict] = []
        self.heads: list[str] = []

    async def __call__(self, connection: Connection) -> None:
        head, _, body = connection.last.partition(b"\r\n\r\n")
        self.heads.append(head.decode())
        self.told.append(json.loads(body))
        answer = self.answers.pop(0) if self.answers else whole(200, b"ok")
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return
        connection.send(answer)


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


class Scene:
    """Alerts of one process, and what they wrote to the log."""

    def __init__(self, url: str, ledger: MemoryLedger | None = None, **alert: object) -> None:
        self.clock, self.stream, self.transport = Clock(), io.StringIO(), DirectTransport()
        ledger = ledger or MemoryLedger()
        secrets = Secrets({"HOOK": url})
        self.alerts = Alerts(self.clock, self.transport, ledger.once, "acme", secrets)
        self.alerts.log = Log(stream=self.stream, text=False)
        fields = {"webhook": Secret("env", "HOOK"), **alert}
        self.money = MoneySegment({"support": MONTH}, alerts={"ops": Alert("ops", **fields)})  # type: ignore[arg-type] # a test's shorthand
        self.alerts.follow(self.money, ZoneInfo("Europe/Berlin"), "rev-1")

    def reach(self, partition: str = "red", step: BudgetStep = EIGHTY) -> None:
        self.alerts("support", partition, step, AT_83)

    async def settled(self) -> dict:
        """What is told of the alert once nothing waits."""
        async with asyncio.timeout(30):
            while any(line.task is not None for line in self.alerts._lines.values()):
                await asyncio.sleep(0.005)
        return self.alerts.told()["ops"]

    @property
    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_MS", 1)
    monkeypatch.setattr(module, "CLOSE_S", 0.1)


@pytest.fixture
async def server(webhook: Webhook) -> AsyncIterator[Scripted]:
    async with Scripted(webhook) as started:
        yield started


@pytest.fixture
async def scene(server: Scripted) -> AsyncIterator[Scene]:
    made = Scene(f"{server.url}/{CANARY}")
    yield made
    assert CANARY not in made.stream.getvalue()
    await made.alerts.close()
    await made.transport.close()


async def test_json(scene: Scene, webhook: Webhook) -> None:
    scene.reach()
    told = await scene.settled()
    assert told == {"sent": 1, "waiting": 0, "failed": 0, "dropped": 0, "last_failure": None}
    assert webhook.told == [
        {
            "event": "budget_step",
            "alert": "ops",
            "budget": "support",
            "partition": "red",
            "window": "2026-12",
            "step": 0.8,
            "used": 0.8342,
            "measure": "cost",
            "limit": 500.0,
            "spent": 415.0,
            "held": 2.1,
            "left": 1e-09,
            "resets_at": "2026-12-01T12:00:00+01:00",
            "at": "2026-12-01T11:00:00+01:00",
            "workspace": "acme",
            "revision": "rev-1",
        }
    ]
    assert webhook.heads[0].startswith(f"POST /{CANARY} HTTP/1.1")
    assert "content-type: application/json" in webhook.heads[0].lower()
    metrics = Metrics()
    scene.alerts.figures(metrics)
    assert 'engine_alerts_total{alert="ops",result="sent"} 1.0' in metrics.exposition().decode()


async def test_slack(server: Scripted, webhook: Webhook) -> None:
    scene = Scene(server.url, format="slack")
    scene.reach("<!channel> & co")
    await scene.settled()
    assert webhook.told == [
        {
            "text": 'budget support of "&lt;!channel&gt; &amp; co" is at 83.4%: $415.00 spent and $2.10 held '
            "of $500.00; the step 80% is reached, it resets 2026-12-01T12:00:00+01:00 (acme)"
        }
    ]
    await scene.transport.close()


async def test_the_log() -> None:
    scene = Scene("", webhook=None, log="warning")
    scene.reach()
    await scene.settled()
    (line,) = scene.log
    assert (line["level"], line["event"], line["budget"], line["partition"]) == (
        "warning", "budget_step", "support", "red",
    )  # fmt: skip
    assert "is at 83.4%" in line["text"]


async def test_a_full_budget_says_what_happened() -> None:
    """One large call may be refused long before all is spent."""
    scene = Scene("", webhook=None, log="error")
    scene.reach(step=BudgetStep(1.0, "ops"))
    await scene.settled()
    assert "is at 83.4%: $415.00 spent" in scene.log[0]["text"]
    assert "; a call found no room, it resets" in scene.log[0]["text"]


async def test_once_each_step_partition_and_window(scene: Scene, webhook: Webhook) -> None:
    ninety = BudgetStep(0.9, "ops")
    for _ in range(100):
        scene.reach("red")
        scene.reach("blue")
        scene.reach("red", ninety)
    await scene.settled()
    scene.reach("red")
    scene.clock.at += 40 * 86_400  # next month
    scene.reach("red")
    await scene.settled()
    assert [(t["partition"], t["step"], t["window"]) for t in webhook.told] == [
        ("red", 0.8, "2026-12"),
        ("blue", 0.8, "2026-12"),
        ("red", 0.9, "2026-12"),
        ("red", 0.8, "2027-01"),
    ]


async def test_once_over_all_processes(server: Scripted, webhook: Webhook) -> None:
    ledger = MemoryLedger()
    scenes = [Scene(server.url, ledger) for _ in range(3)]
    for scene in scenes:
        scene.reach()
        scene.reach("blue")
    sent = [(await scene.settled())["sent"] for scene in scenes]
    assert sum(sent) == 2
    assert sorted(told["partition"] for told in webhook.told) == ["blue", "red"]
    for scene in scenes:
        await scene.transport.close()


async def test_a_store_that_cannot_be_asked_keeps_nobody_from_being_told(
    scene: Scene, webhook: Webhook
) -> None:
    async def broken(key: str, ttl_ms: int, now_ms: int) -> bool:
        raise ConnectionError("gone")

    scene.alerts._once = broken
    scene.reach()
    assert (await scene.settled())["sent"] == 1
    assert len(webhook.told) == 1


@pytest.mark.parametrize("answer", [whole(500, b"no"), whole(429, b"later")], ids=["500", "429"])
async def test_what_may_pass_is_tried_again(scene: Scene, webhook: Webhook, answer: bytes) -> None:
    webhook.answers = [answer]
    scene.reach()
    assert (await scene.settled())["sent"] == 1
    assert len(webhook.told) == 2


async def test_silence_may_pass(scene: Scene, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_S", 0.5)
    webhook.answers = [60.0]
    scene.reach()
    assert (await scene.settled())["sent"] == 1
    assert len(webhook.told) >= 2


async def test_silence_that_lasts_is_given_up_and_told(
    scene: Scene, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    monkeypatch.setattr(module, "TRY_S", 0.5)
    webhook.answers = [60.0] * 2
    scene.reach()
    told = await scene.settled()
    assert (told["sent"], told["failed"]) == (0, 1)
    assert "did not answer within" in told["last_failure"]["why"]
    assert [line["event"] for line in scene.log] == ["alert_not_sent"]
    monkeypatch.setattr(module, "TRY_S", 30.0)
    webhook.answers = []
    scene.reach("blue")
    assert (await scene.settled())["sent"] == 1


@pytest.mark.parametrize(
    ("answer", "tries", "why"),
    [
        (whole(503, b""), 5, "answered 503"),
        (whole(404, b"no such hook"), 1, "answered 404"),
        (whole(302, b"", "text/plain", "location: http://127.0.0.1:1/x"), 1, "302, which is not followed"),
    ],
    ids=["503", "404", "redirect"],
)
async def test_what_does_not_pass_is_given_up_and_told(
    scene: Scene, webhook: Webhook, answer: bytes, tries: int, why: str
) -> None:
    webhook.answers = [answer] * tries
    scene.reach()
    scene.reach("blue")
    told = await scene.settled()
    assert len(webhook.told) == tries + 1  # the next message is sent all the same
    assert (told["sent"], told["failed"]) == (1, 1)
    assert why in told["last_failure"]["why"]
    (line,) = scene.log
    assert (line["event"], line["level"], line["partition"], line["budget"]) == (
        "alert_not_sent", "error", "red", "support",
    )  # fmt: skip
    assert why in line["why"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://127.0.0.1:1/{CANARY}", "could not be reached"),
        (f"ftp://x/{CANARY}", "holds no http address"),
        (f"http://[{CANARY}", "could not be reached"),
        ("", "HOOK is not set"),
    ],
)
async def test_an_address_where_nobody_is(url: str, why: str) -> None:
    scene = Scene(url)
    scene.reach()
    told = await scene.settled()
    assert why in told["last_failure"]["why"]
    assert told["failed"] == 1
    assert CANARY not in scene.stream.getvalue() + str(told)
    await scene.transport.close()


async def test_no_more_than_so_many_wait(
    scene: Scene, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(10):
        scene.reach(str(number))
    told = await scene.settled()
    assert (told["sent"], told["dropped"]) == (3, 7)
    assert [line["event"] for line in scene.log] == ["alerts_dropped"]


async def test_the_end_waits_a_moment_only(scene: Scene, webhook: Webhook) -> None:
    webhook.answers = [5.0] * 10
    scene.reach("red")
    scene.reach("blue")
    while not webhook.told:
        await asyncio.sleep(0.005)
    await scene.alerts.close()
    assert [(line["event"], line["partition"]) for line in scene.log] == [
        ("alert_not_sent", "red"),
        ("alert_not_sent", "blue"),
    ]


async def test_what_a_plan_has_no_more_tells_nobody(scene: Scene, webhook: Webhook) -> None:
    scene.alerts.follow(MoneySegment(), ZoneInfo("UTC"), "rev-2")
    scene.reach()
    assert scene.alerts.told() == {}


async def test_a_step_that_is_told_costs_next_to_nothing(scene: Scene) -> None:
    scene.reach()
    await scene.settled()
    began = time.process_time()
    for _ in range(20_000):
        scene.reach()
    assert (time.process_time() - began) / 20_000 < 10e-6
