"""The seam of a continued answer: nothing twice, nothing lost, wherever the pieces are cut."""

from __future__ import annotations

import pytest

from engine.runtime.seam import ECHO, Said, Seam, begun, prefill
from engine.wire.canonical import Event, Message, Part, Request

LONG = "The capital of France is"
assert len(LONG) > ECHO

#: said, what comes, what the client must have in the end
SEAMS = {
    "plain": ("The cap", "ital", "The capital"),
    "a space of its own": ("The", " capital", "The capital"),
    "a space that was sent and comes again": ("The ", " capital", "The capital"),
    "a space that was sent and does not": ("The ", "capital", "The capital"),
    "two line ends sent, one comes": ("One.\n\n", "\nTwo.", "One.\n\nTwo."),
    "one sent, two come": ("One.\n", "\n\nTwo.", "One.\n\nTwo."),
    "other white space": ("One. ", "\nTwo.", "One. \nTwo."),
    "the text again": (LONG, LONG + " Paris.", LONG + " Paris."),
    "the text again after a space": (LONG + " ", LONG + " Paris.", LONG + " Paris."),
    "the text again and nothing more": (LONG, LONG, LONG),
    "only like the text": (LONG, "The capital of Spain", LONG + "The capital of Spain"),
    "short words may come twice": ("No, ", "No, no", "No, No, no"),
    "nothing": (LONG, "", LONG),
    "white space alone": (LONG + "\n", "\n", LONG + "\n"),
}


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(("said", "comes", "whole"), SEAMS.values(), ids=SEAMS)
def test_seams(said: str, comes: str, whole: str, size: int) -> None:
    seam = Seam(said)
    pieces = [comes[at : at + size] for at in range(0, len(comes), size)]
    given = seam.take([Event(type="start", id="other")])
    for piece in pieces:
        given += seam.take([Event(type="text", text=piece)])
    given += seam.take([Event(type="finish", finish_reason="stop"), Event(type="usage", usage={})])
    text = "".join(event["text"] for event in given if event["type"] == "text")
    assert said + text == whole
    assert [event["type"] for event in given if event["type"] != "text"] == ["finish", "usage"]
    assert all(event["text"] for event in given if event["type"] == "text")


def test_whoever_always_says_it_again() -> None:
    given = Seam("No, ", echoes=True).take([Event(type="text", text="No, no")])
    assert given == [Event(type="text", text="no")]


def test_thoughts_before_it_goes_on_are_nobodys() -> None:
    given = Seam("The").take([Event(type="reasoning", text="hm"), Event(type="text", text=" end")])
    assert given == [Event(type="text", text=" end")]


@pytest.mark.parametrize(
    ("events", "plain"),
    [
        ([Event(type="start"), Event(type="text", text="a")], True),
        ([Event(type="text", text="a", choice=1)], False),
        ([Event(type="text", text="a"), Event(type="tool_call", id="c", name="f")], False),
        ([Event(type="reasoning", text="hm"), Event(type="text", text="a")], False),
        ([Event(type="text", text="a"), Event(type="citation")], False),
        ([Event(type="text", text="a"), Event(type="logprobs", logprobs={})], False),
    ],
)
def test_only_one_plain_text_is_gone_on_with(events: list[Event], plain: bool) -> None:
    said = Said()
    said.take(events)
    assert said.plain is plain


def test_what_was_said_in_few_events() -> None:
    said = Said()
    said.start.append(Event(type="start", id="x"))
    for word in ("a", "b", "c"):
        said.take([Event(type="text", text=word)])
    assert said.text == "abc"
    assert said.events() == [Event(type="start", id="x"), Event(type="text", text="abc")]


def test_the_request_with_the_beginning() -> None:
    user = Message(role="user", content=[Part(type="text", text="hi")])
    mine = Message(role="assistant", content=[Part(type="text", text="Sure:")])
    part = Part(type="text", text="one")
    request = Request(model="m", messages=[user])
    assert begun(request, "one")["messages"] == [user, {"role": "assistant", "content": [part]}]
    assert request["messages"] == [user]
    both = begun(Request(messages=[user, mine]), "one")["messages"][-1]
    assert both["content"] == [*mine["content"], part]
    assert len(mine["content"]) == 1


def test_no_white_space_at_the_end_of_a_prefill() -> None:
    assert prefill("One.\n\n ") == "One."
    assert prefill(" \n") == ""
