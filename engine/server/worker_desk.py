"""What a data worker asks of its supervisor: /admin and /metrics of all, local models; and what it tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from engine.control.channel import Frame, Refused
from engine.control.worker import Worker

if TYPE_CHECKING:
    from engine.local.desk import ModelDesk
    from engine.local.pool import Pool


class WorkerDesk:
    """One life of one worker. Implements `fleet.Desk`.

    http: answers a request that a client made to this worker. pool: the models that all workers share, made
    for the first that asks. others: tells every other worker.
    """

    def __init__(
        self,
        worker: Worker,
        http: Callable[[dict[str, Any]], Awaitable[Frame]],
        pool: Callable[[], Pool],
        others: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._worker, self._http, self._pool, self._others = worker, http, pool, others
        self._models: ModelDesk | None = None

    async def answers(self, op: str, frame: Frame) -> Frame:
        if op == "http":
            return await self._http(frame.words)
        from engine.local.remote import LineRefused

        try:
            return Frame(await self._desk().ask(op, frame.words))
        except LineRefused as refused:
            raise Refused(refused.words.get("message", ""), refused.words) from None

    def hears(self, op: str, frame: Frame) -> None:
        if op == "probed":
            self._others(op, frame.words)
        else:
            self._desk().hear(op, frame.words)

    def lose(self) -> None:
        if self._models is not None:
            self._models.lose()

    async def close(self) -> None:
        if self._models is not None:
            await self._models.close()

    def _desk(self) -> ModelDesk:
        if self._models is None:
            # Deferred: only a plan with local models pays for them.
            from engine.local.desk import ModelDesk

            self._models = ModelDesk(self._pool(), self._worker.tell)
        return self._models
