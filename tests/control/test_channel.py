"""A channel between two processes, both ends in this one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from engine.control.channel import Channel, ChannelClosed, Frame, Refused


class End:
    """One end: what it heard, and whether the other is gone."""

    channel: Channel

    def __init__(self) -> None:
        self.heard: list[tuple[str, Frame]] = []
        self.alone = asyncio.Event()
        self.never = asyncio.Event()

    async def answers(self, op: str, frame: Frame) -> Frame:
        if op == "no":
            raise Refused("not today", {"code": 7})
        if op == "fault":
            raise ValueError("broken")
        if op == "wait":
            await self.never.wait()
        return Frame({"op": op, **frame.words}, frame.data[::-1])

    def hears(self, op: str, frame: Frame) -> None:
        self.heard.append((op, frame))


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[tuple[End, End]]:
    ends = End(), End()
    for end, sock in zip(ends, socket.socketpair(), strict=True):
        end.channel = await Channel.open(sock, end.answers, end.hears, end.alone.set)
    yield ends
    for end in ends:
        end.channel.close()
    await asyncio.gather(*(end.alone.wait() for end in ends))


async def test_both_sides_ask_and_a_slow_answer_holds_up_nothing() -> None:
    async with talking() as (one, other):
        slow = asyncio.ensure_future(one.channel.ask("wait"))
        big = bytes(range(256)) * 20_000
        answers = await asyncio.gather(
            one.channel.ask("a", {"n": 1}, big), other.channel.ask("b", {"n": 2}), one.channel.ask("c")
        )
        assert [answer.words for answer in answers] == [{"op": "a", "n": 1}, {"op": "b", "n": 2}, {"op": "c"}]
        assert answers[0].data == big[::-1]
        assert not slow.done()
        other.never.set()
        assert (await slow).words == {"op": "wait"}


async def test_what_is_told_comes_in_order_and_before_a_later_question() -> None:
    async with talking() as (one, other):
        for number in range(50):
            one.channel.tell("count", {"n": number})
        await one.channel.ask("last")
        assert [frame.words["n"] for _, frame in other.heard] == list(range(50))


async def test_no_and_faults_are_answers() -> None:
    async with talking() as (one, _):
        with pytest.raises(Refused, match="not today") as caught:
            await one.channel.ask("no")
        assert caught.value.words == {"code": 7}
        with pytest.raises(Refused, match="ValueError: broken"):
            await one.channel.ask("fault")
        assert (await one.channel.ask("yes")).words == {"op": "yes"}


async def test_whoever_waits_learns_that_the_other_is_gone() -> None:
    async with talking() as (one, other):
        waiting = asyncio.ensure_future(one.channel.ask("wait"))
        await other.channel.ask("hello")
        other.channel.close()
        with pytest.raises(ChannelClosed):
            await waiting
        await one.alone.wait()
        with pytest.raises(ChannelClosed):
            await one.channel.ask("hello")
        one.channel.tell("lost")
