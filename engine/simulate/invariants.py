"""What must hold however a run went: each check names one promise, and says where it was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine.runtime.record import DecisionRecord
from engine.simulate.client import Client
from engine.simulate.vendor import answer_to
from engine.simulate.world import World

#: How much longer than its limit a request may take: a whole answer's tail has a second, closing some more.
SLACK_S = 1.5


def broken(world: World, clients: list[Client]) -> list[str]:
    """Every promise that this run did not keep, in words; empty where it kept all."""
    found = [f"fault in the engine: {fault}" for fault in world.faults]
    for client in clients:
        found += [f"client {client.number} ({client.model}): {words}" for words in _answer(client)]
    found += _settled(world)
    found += _records(world, clients)
    found += _budgets(world)
    found += _back_to_zero(world)
    return found


def _answer(client: Client) -> Iterator[str]:
    """One answer, or one error, or none where the client left; and never a part of one as a whole."""
    yield from client.faults
    if client.ended is None:
        yield "was never answered"
        return
    if client.left:
        return
    if client.status is None or not client.whole:
        yield f"stayed, and its answer was not ended (status {client.status})"
        return
    heard = client.heard()
    wanted = answer_to(client.question)
    if heard.broken is not None:
        yield heard.broken
    if heard.after_error:
        yield "content came after an error"
    if heard.finished and heard.error is not None:
        yield f"both a good end and an error ({heard.error})"
    if heard.finished and heard.text != wanted:
        yield f"a wrong answer as a success: {heard.text!r} instead of {wanted!r}"
    if not heard.finished and heard.error is None:
        yield f"an answer without an end: {heard.text!r}"
    if not wanted.startswith(heard.text):
        yield f"text that nobody gave: {heard.text!r} is no beginning of {wanted!r}"
    limit = client.habits.deadline_ms
    if limit is not None and not client.habits.pause and client.ended - client.began > limit / 1e3 + SLACK_S:
        yield f"had {limit} ms, and waited {client.ended - client.began:.1f} s"


def _settled(world: World) -> Iterator[str]:
    """Each lease is closed once, and what was spent is what the records say."""
    audit = world.state.audit
    if audit.granted != audit.settled + audit.released:
        yield f"{audit.granted} leases granted, {audit.settled} settled and {audit.released} released"
    spent = sum(world.state.seen(name).spent for name in world.snapshot.plan.manifest.deployments)
    told = sum(record.cost for record in world.records)
    if spent != told:
        yield f"the store says {spent} was spent, the records say {told}"


def _records(world: World, clients: list[Client]) -> Iterator[str]:
    """One record a request, under one plan, within its ceilings."""
    for count in Counter(record.id for record in world.records).values():
        if count != 1:
            yield f"a request has {count} records"
    own = [record for record in world.records if record.aside_of is None]
    if len(own) > len(clients):
        yield f"{len(own)} records of {len(clients)} requests"
    for number, record in enumerate(world.records):
        for words in _record(record, world):
            yield f"record {number} ({record.route}): {words}"
    kept = {record.id for record in world.records}
    for client in clients:
        if client.status is not None and client.headers["x-engine-request-id"] not in kept:
            yield f"client {client.number} was answered, and there is no record of it"


def _record(record: DecisionRecord, world: World) -> Iterator[str]:
    plan = next((each.plan for each in world.published if each.revision == record.revision), None)
    if plan is None:
        yield "ran under a plan that was never published"
    elif record.route is not None:
        most = plan.route(record.route).per_request
        if most.calls is not None and len(record.attempts) > most.calls:
            yield f"{len(record.attempts)} calls of {most.calls}"
        took = record.duration_ms or 0
        if most.time_ms is not None and record.failure is None and took > most.time_ms + SLACK_S * 1e3:
            yield f"took {took:.0f} ms of {most.time_ms}"
    for attempt in record.attempts:
        if attempt.closed is None or attempt.ended_ms is None:
            yield f"attempt {attempt.number} at {attempt.deployment} was never closed"


def _budgets(world: World) -> Iterator[str]:
    """No ceiling was broken, and what the books say was spent is what the records say."""
    yield from world.books.faults
    told: Counter[str] = Counter()
    for record in world.records:
        for attempt in record.attempts:
            for use in attempt.budgets:
                told[f"budget/{use.name}"] += use.settled or 0
                if use.settled is None:
                    yield f"attempt {attempt.number} of {record.route} never settled with {use.name}"
                if use.name != "words" and use.settled != attempt.cost.total:
                    yield f"{attempt.cost.total} was spent at {attempt.deployment}, {use.settled} settled"
    for name in sorted({*told, *(each for each in world.books.settled if each.startswith("budget/"))}):
        if told[name] != world.books.settled[name]:
            yield f"{name}: the books say {world.books.settled[name]}, the records say {told[name]}"


def _back_to_zero(world: World) -> Iterator[str]:
    """When all is over, nothing is held."""
    if world.state.open_leases():
        yield f"{world.state.open_leases()} leases are open"
    for name in world.snapshot.plan.manifest.deployments:
        if world.state.in_flight(name):
            yield f"{name} has {world.state.in_flight(name)} calls in flight"
    if world.books.open_holds():
        yield f"{world.books.open_holds()} holds are open in the books"
    for account, standing in world.books.rows(int(world.clock.wall() * 1000)):
        if standing.held:
            yield f"{account.key}: {standing.held} is held by nobody"
    queues = world.executor.queues
    for lines in (queues.routes, queues.deployments):
        for name in lines.seen():
            if lines.open(name) or lines.waiting(name):
                yield f"{name}: {lines.open(name)} places are taken, {lines.waiting(name)} wait for one"
    if len(world.executor.asides):
        yield f"{len(world.executor.asides)} copies are under way"
    if world.vendors.open or world.vendors.sending:
        yield f"{len(world.vendors.open)} answers of vendors are open, {world.vendors.sending} calls run"
    if world.draining:
        yield f"{world.draining} old plans are still held"
    if world.snapshot.users:
        yield f"the plan has {world.snapshot.users} users"
