"""Tells people that a budget has reached a step: in the log, or by a webhook.

An `Alerts` is called on the hot path whenever a step is reached, which is with every request from there on:
that is a look-up. The first of each step, partition and window goes to the alert's own line of messages,
where a task asks the ledger whether another process has told it already, and sends it. A webhook that is slow
or down delays no request: it is tried `TRIES` times, `MOST` messages wait for it, what is given up is in the
log and counted. The address is a secret: it is in no log and no error, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from inspect import isawaitable
from typing import Any, Final

from engine.observe import standings
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.money import NO_MONEY, Alert, Budget, BudgetStep, MoneySegment
from engine.policies.calendar import window_of
from engine.runtime.clock import Clock
from engine.state.ledger import Standing
from engine.units import show_ratio
from engine.upstream.protocol import HttpCall, Transport, TransportError
from engine.upstream.secrets import SecretMissing, Secrets

#: Messages that wait for one alert.
MOST: Final = 1_000
#: How often one message is sent at most.
TRIES: Final = 5
#: Before the second try; doubled with each.
PAUSE_MS: Final = 1_000
#: How long one try may take.
TRY_S: Final = 10.0
#: The end of the process waits so long for what is being sent.
CLOSE_S: Final = 2.0
#: So many steps are known to be told; then those of windows that ended are forgotten.
KNOWN: Final = 50_000
#: Hosts' clocks differ: a step is remembered so long beyond its window.
_BEYOND_MS: Final = 3_600_000
#: Nobody reads more of a webhook's answer.
_ANSWER: Final = 64 * 1024

#: `Ledger.once`: (key, how long, now), all in ms.
Once = Callable[[str, int, int], "bool | Awaitable[bool]"]


class _Failed(Exception):
    """A message was not taken. lasting: another try would end the same way."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


@dataclass(slots=True)
class Message:
    """What is told. key, ttl_ms: under which no other process tells it, and for how long."""

    alert: str
    text: str
    facts: dict[str, Any]
    key: str
    ttl_ms: int


@dataclass(slots=True)
class _Line:
    """The messages of one alert, in their order."""

    waiting: deque[Message] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    last_failure: dict[str, str | None] | None = None


class Alerts:
    """One process's. Called as `runtime.funds.Alerts`.

    once: whether this process is the first to tell something. workspace: its name, for whoever has several.
    log: where the alerts go that ask for it, and what could not be sent.
    """

    def __init__(
        self, clock: Clock, transport: Transport, once: Once, workspace: str, secrets: Secrets
    ) -> None:
        self._clock, self._transport, self._once = clock, transport, once
        self._workspace, self._secrets = workspace, secrets
        self.log = Log.from_environment()
        self._money: MoneySegment = NO_MONEY
        self._zone: tzinfo = UTC
        self._revision = ""
        self._known: dict[tuple[str, str, float], float] = {}  # until when a step is not told again
        self._lines: dict[str, _Line] = {}

    def follow(self, money: MoneySegment, zone: tzinfo, revision: str) -> None:
        """A plan went live: what its alerts and budgets are."""
        self._money, self._zone, self._revision = money, zone, revision

    def __call__(self, name: str, partition: str, step: BudgetStep, standing: Standing) -> None:
        """A budget stands so in a partition, and `step` is reached."""
        now = self._clock.wall() * 1000
        known = (name, partition, step.at)
        if self._known.get(known, 0.0) > now:
            return
        budget = self._money.budgets.get(name)
        if budget is None or step.alert is None or step.alert not in self._money.alerts:
            return  # a request of an old plan's: the new one has nobody to tell
        message, until = self._message(budget, partition, step, standing, int(now))
        if len(self._known) >= KNOWN:
            self._forget(now)
        self._known[known] = until
        self._put(step.alert, message)

    async def close(self) -> None:
        """Wait a moment for what is being sent; the rest is given up, and in the log."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for line in self._lines.values():
            for message in line.waiting:
                self._given_up(line, message, "the process ended")
            line.waiting.clear()

    # --- what is told of it -------------------------------------------------------------------------------

    def told(self) -> dict[str, dict[str, Any]]:
        """For `/admin/status`: by alert, what was sent and what was not."""
        return {
            name: {
                "sent": line.sent,
                "waiting": len(line.waiting),
                "failed": line.failed,
                "dropped": line.dropped,
                "last_failure": line.last_failure,
            }
            for name, line in sorted(self._lines.items())
        }

    def figures(self, metrics: Metrics) -> None:
        """Register the counters."""
        metrics.counter(
            "engine_alerts",
            "Messages of alerts: sent, failed for good, or dropped because too many waited.",
            ("alert", "result"),
            lambda: [
                ((name, result), float(getattr(line, result)))
                for name, line in self._lines.items()
                for result in ("sent", "failed", "dropped")
            ],
        )

    # --- messages -----------------------------------------------------------------------------------------

    def _message(
        self, budget: Budget, partition: str, step: BudgetStep, standing: Standing, now: int
    ) -> tuple[Message, float]:
        """The message, and until when it is not to be told again."""
        window, _, ends = window_of(budget.window, now, self._zone)
        lasts = (budget.window.ms or 0) if ends is None else ends - now
        resets = lasts if standing.resets_ms is None else standing.resets_ms
        facts = {
            "event": "budget_step",
            "alert": step.alert,
            "budget": budget.name,
            "partition": partition,
            "window": standings.window_shown(window, self._zone),
            "step": step.at,
            "used": round(standings.share(standing), 6),
            "measure": budget.measure,
            **{
                each: standings.amount(budget.measure, getattr(standing, each))
                for each in ("limit", "spent", "held", "left")
            },
            "resets_at": standings.moment(now, resets, self._zone),
            "at": standings.moment(now, 0, self._zone),
            "workspace": self._workspace,
            "revision": self._revision,
        }
        what = "a call found no room" if step.at >= 1 else f"the step {show_ratio(step.at)} is reached"
        text = (
            f"{standings.sentence(budget.name, partition, budget.measure, standing)}; {what}, "
            f"it resets {facts['resets_at']} ({self._workspace})"
        )
        key = f"alert/{step.alert}/{budget.name}/{window}/{step.at:g}/{partition}"
        return Message(str(step.alert), text, facts, key, lasts + _BEYOND_MS), now + lasts

    def _put(self, name: str, message: Message) -> None:
        line = self._lines.setdefault(name, _Line())
        if len(line.waiting) >= MOST:
            line.dropped += 1
            if line.dropped == 1:
                self.log.error("alerts_dropped", alert=name, why=f"{MOST} wait to be sent")
            return
        line.waiting.append(message)
        if line.task is None:
            line.task = asyncio.get_running_loop().create_task(self._send_all(name, line))

    def _forget(self, now: float) -> None:
        """What is told again by mistake, the ledger stops."""
        self._known = {key: until for key, until in self._known.items() if until > now}
        if len(self._known) >= KNOWN:
            self._known.clear()

    # --- sending ------------------------------------------------------------------------------------------

    async def _send_all(self, name: str, line: _Line) -> None:
        try:
            while line.waiting:
                message = line.waiting[0]
                alert = self._money.alerts.get(name)
                if alert is not None and await self._first(message):
                    await self._send(alert, message, line)
                line.waiting.popleft()
        finally:
            line.task = None

    async def _first(self, message: Message) -> bool:
        """Whether nobody has told it. Told twice is better than not at all: so too where nobody can say."""
        try:
            found = self._once(message.key, message.ttl_ms, int(self._clock.wall() * 1000))
            return await found if isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - whatever ails the store, somebody is to be told
            self.log.fault("alert_store", error, alert=message.alert)
            return True

    async def _send(self, alert: Alert, message: Message, line: _Line) -> None:
        if alert.log is not None:
            getattr(self.log, alert.log)("budget_step", **_logged(message))
            line.sent += 1
            return
        for tried in range(1, TRIES + 1):
            try:
                await self._post(alert, message)
            except _Failed as failed:
                if tried == TRIES or failed.lasting:
                    self._given_up(line, message, str(failed))
                    return
                await self._clock.sleep(PAUSE_MS * 2 ** (tried - 1))
            else:
                line.sent += 1
                return

    def _given_up(self, line: _Line, message: Message, why: str) -> None:
        """Whoever reads the log learns what the webhook was to say."""
        line.failed += 1
        line.last_failure = {"at": standings.moment(int(self._clock.wall() * 1000), 0), "why": why}
        self.log.error("alert_not_sent", why=why, **_logged(message))

    async def _post(self, alert: Alert, message: Message) -> None:
        """One try. Raises _Failed; the address stands in no text."""
        assert alert.webhook is not None
        try:
            url = self._secrets.get(alert.webhook).reveal()
        except SecretMissing as missing:
            raise _Failed(str(missing)) from None
        if not url.startswith(("https://", "http://")):
            raise _Failed(f"{alert.webhook} holds no http address (it is not shown)", lasting=True)
        body = _slack(message) if alert.format == "slack" else json.dumps(message.facts)
        headers = (("content-type", "application/json"), ("accept", "*/*"))
        call = HttpCall("POST", url, headers, body.encode(), connect_ms=int(TRY_S * 1000))
        try:
            async with asyncio.timeout(TRY_S):
                reply = await self._transport.send(call)
                try:
                    status = reply.status
                    await reply.read(_ANSWER)  # to its end, so that the connection serves again
                finally:
                    await reply.close()
        except TimeoutError:
            raise _Failed(f"the webhook did not answer within {TRY_S:.0f} s") from None
        except TransportError as error:
            # Not its text, which may name the address.
            raise _Failed(f"the webhook could not be reached ({error.failure})") from None
        except ValueError:
            raise _Failed(f"{alert.webhook} holds no address that can be called", lasting=True) from None
        if not 200 <= status < 300:
            lasting = status < 500 and status not in (408, 425, 429)
            followed = ", which is not followed" if 300 <= status < 400 else ""
            raise _Failed(f"the webhook answered {status}{followed}", lasting=lasting)


def _logged(message: Message) -> Mapping[str, Any]:
    return {**{k: v for k, v in message.facts.items() if k not in ("event", "at")}, "text": message.text}


def _slack(message: Message) -> str:
    """Slack's form. The three signs that its markup knows are escaped: a partition is a client's text."""
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return json.dumps({"text": text})
