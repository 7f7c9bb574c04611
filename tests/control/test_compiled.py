"""What crosses the process boundary: parts of a manifest, lacking segments, nothing forged."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from running import ROUTES, write_workspace

from engine.control.compile_child import compile_here
from engine.control.compiled import Compiled, CompileFault, Receiver
from engine.control.frames import FrameError, Frames, frame
from engine.plan.codec import PlanDecodeError, canonical, digest
from engine.plan.parts import ManifestReader, Part, parts, text
from engine.plan.plan import Plan

MANY = ROUTES + "".join(f"  r{number}: near\n" for number in range(600))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_here(write_workspace(tmp_path_factory.mktemp("ws"), 9, routes=MANY))


@pytest.fixture(scope="module")
def plan(compiled: Compiled) -> Plan:
    assert compiled.plan is not None
    return compiled.plan


def received(frames: Iterable[bytes], held: dict[str, bytes] | None = None) -> Compiled:
    receiver = Receiver(held)
    for data in frames:
        list(receiver.feed(data))
    list(receiver.finish())
    return receiver.result()


def test_the_parts_are_the_canonical_text(plan: Plan) -> None:
    assert b"".join(text(plan.manifest)) == canonical(plan.manifest)
    reader = ManifestReader()
    for part in parts(plan.manifest):
        reader.add(part)
    assert reader.end() == (plan.manifest, plan.revision)


def test_a_part_out_of_turn_is_none(plan: Plan) -> None:
    all_parts = list(parts(plan.manifest))
    with pytest.raises(PlanDecodeError, match="not the next part"):
        ManifestReader().add(all_parts[1])
    reader = ManifestReader()
    reader.add(all_parts[0])
    with pytest.raises(PlanDecodeError, match="missing"):
        reader.end()
    with pytest.raises(PlanDecodeError, match="does not read"):
        ManifestReader().add(Part(all_parts[0].field, b'"half'))


def test_the_pieces_are_the_dump(plan: Plan) -> None:
    assert Plan.load(plan.dump()).revision == plan.revision
    assert Plan.load(plan.dump()).dump() == plan.dump()


def test_all_of_it_arrives(compiled: Compiled) -> None:
    again = Compiled.load(b"".join(compiled.frames()))
    assert again == compiled
    assert again.plan is not None
    again.plan.check()


def test_however_the_bytes_are_cut(compiled: Compiled) -> None:
    data = b"".join(compiled.frames())
    draw, receiver, at = random.Random(7), Receiver(), 0
    while at < len(data):
        step = draw.choice((1, 3, 100, 5000, 70_000))
        list(receiver.feed(data[at : at + step]))
        at += step
    list(receiver.finish())
    assert receiver.result() == compiled


def test_what_is_held_is_not_sent(compiled: Compiled, plan: Plan) -> None:
    whole = sum(map(len, compiled.frames()))
    lacking = next(iter(plan.manifest.routes.values()))
    held = {name: text for name, text in plan.segments.items() if name != lacking}
    sent = list(compiled.frames(held))
    assert sum(data[:1] == b"S" for data in sent) == 1
    assert sum(map(len, sent)) < whole / 3
    assert received(sent, held) == compiled


def test_what_nobody_has_is_told(compiled: Compiled, plan: Plan) -> None:
    with pytest.raises(CompileFault, match="is missing"):
        received(compiled.frames(plan.segments))


def test_whatever_is_changed_on_its_way_is_told(compiled: Compiled) -> None:
    good = b"".join(compiled.frames())
    draw = random.Random(11)
    for _ in range(60):
        data = bytearray(good)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        with pytest.raises(CompileFault):
            Compiled.load(bytes(data))
    for _ in range(20):
        with pytest.raises(CompileFault):
            Compiled.load(good[: draw.randrange(len(good))])


def test_a_forged_segment_is_not_taken(compiled: Compiled, plan: Plan) -> None:
    """The total fits, the segment does not: its digest is made here, never believed."""
    from dataclasses import replace

    name = next(iter(plan.manifest.routes.values()))
    forged = replace(plan, segments={**plan.segments, name: b'{"route":{}}'})
    with pytest.raises(CompileFault, match="is missing"):
        received(replace(compiled, plan=forged).frames())
    other = replace(plan, revision=digest(b"another"))
    with pytest.raises(CompileFault, match="revision"):
        received(replace(compiled, plan=other).frames())


def test_frames() -> None:
    frames = Frames()
    assert list(frames.feed(frame(b"A", b"x") + frame(b"B", b"")[:3])) == [(b"A", b"x")]
    assert not frames.empty
    assert list(frames.feed(frame(b"B", b"")[3:])) == [(b"B", b"")]
    assert frames.empty
    with pytest.raises(FrameError):
        list(Frames().feed(b"A\xff\xff\xff\xff"))
    with pytest.raises(FrameError):
        list(Frames().feed(b"\x00\x00\x00\x00\x00"))


def test_no_plan(tmp_path: Path) -> None:
    broken = compile_here(write_workspace(tmp_path, 9, routes=ROUTES + "  oops: nobody\n"))
    assert broken.plan is None
    assert Compiled.load(b"".join(broken.frames())) == broken
