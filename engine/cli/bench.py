"""Measure the sidecar, its budgets, the templates or a local model on this machine, or simulate it.

`sidecar` starts its own fake vendor and load on loopback and compares with a reference relay in the same
run; `--vs URL` puts another gateway beside it, which you have pointed at a vendor of your own. `--smoke`
only proves that the benchmark runs. `upstream` is a vendor that fails to order: put its address into a
provider file's `base_url`. Exit code 1 when a bar is missed or the run is void.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from engine.cli.arguments import positive
from engine.cli.output import CommandFailed, write, write_json

if TYPE_CHECKING:
    from engine.bench.failover.bench import Table
    from engine.bench.report import Report


def register(parser: argparse.ArgumentParser) -> None:
    """Flags of `engine bench`."""
    which = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    sidecar = which.add_parser("sidecar", help="requests/s, latency, streams and memory of the sidecar")
    sidecar.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (default 2)")
    sidecar.add_argument("--rounds", type=positive, default=5, help="pairs to compare (default 5)")
    sidecar.add_argument("--vs", metavar="URL", help="another gateway's address, e.g. http://127.0.0.1:4000")
    sidecar.add_argument("--vs-model", default="bench", metavar="NAME", help="the model to ask it for")
    local = which.add_parser("local", help="a local model beside a bare GenAI loop: first token, tokens/s")
    local.add_argument("--model", default="smollm2-135m-instruct", help="an installed local model")
    local.add_argument("--repeats", type=positive, default=5, help="pairs for each prompt (default 5)")
    local.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: ONNX's choice)")
    templates = which.add_parser("templates", help="rendering a request beside Jinja2's own rendering")
    upstream = which.add_parser(
        "upstream", help="a vendor on loopback that fails to order, for your own tests"
    )
    upstream.add_argument(
        "--fault", default="ok", metavar="NAME[,NAME]", help="one a request; the last stays"
    )
    upstream.add_argument("--port", type=int, default=0, help="0 = any free port (default)")
    upstream.add_argument("--quicker", type=float, default=1.0, metavar="SHARE", help="shorten all its waits")
    upstream.add_argument(
        "--pace", type=float, default=15.0, metavar="MS", help="between two tokens (default 15)"
    )
    upstream.add_argument("--list", action="store_true", help="print the faults and end")
    simulate = which.add_parser("simulate", help="seeds of faults, clients and reloads in virtual time")
    simulate.add_argument("--seeds", type=positive, default=500, metavar="N", help="how many (default 500)")
    simulate.add_argument("--from", type=int, default=0, metavar="SEED", dest="first", help="the first one")
    simulate.add_argument("--seed", type=int, metavar="SEED", help="run this one and print its log")
    failover = which.add_parser(
        "failover", help="sixteen failures of a vendor, and what a caller gets of them"
    )
    failover.add_argument("--fast", action="store_true", help="a quarter of all waits and timeouts")
    failover.add_argument("--only", metavar="S01[,S02]", help="these alone; never passes, as it needs all")
    failover.add_argument(
        "--client", choices=("openai", "anthropic"), default="openai", help="the caller's format"
    )
    outage = which.add_parser("outage", help="attempts and answers while vendors fail, in virtual time")
    outage.add_argument("--seed", type=int, default=1, metavar="N", help="of all chance (default 1)")
    disconnects = which.add_parser("disconnects", help="clients that leave mid-stream; what is left of them")
    disconnects.add_argument(
        "--count", type=positive, default=10_000, metavar="N", help="how many, twice (default 10000)"
    )
    reload = which.add_parser("reload", help="reloads under load, and what clients notice of them")
    reload.add_argument("--reloads", type=positive, default=1000, metavar="N", help="how many (default 1000)")
    reload.add_argument(
        "--every", type=float, default=100, metavar="MS", help="one a so many ms (default 100)"
    )
    reload.add_argument("--routes", type=int, default=0, metavar="N", help="so many more routes in the plan")
    budget = which.add_parser("budget", help="processes that spend one budget, and what it costs a request")
    budget.add_argument(
        "--processes", type=_counts, default=(1, 2, 4, 8), metavar="N[,N]", help="runs (default 1,2,4,8)"
    )
    budget.add_argument(
        "--in-flight",
        type=positive,
        default=100,
        metavar="N",
        help="requests at a time in each (default 100)",
    )
    for parser_ in (sidecar, local, templates, simulate, outage, disconnects, reload, budget):
        parser_.add_argument("--smoke", action="store_true", help="a few seconds, nothing judged")


def _counts(text: str) -> tuple[int, ...]:
    """`1,2,4` as numbers above zero."""
    return tuple(positive(each) for each in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Run one benchmark and print its report."""
    from engine.bench.process import BenchError  # each benchmark loads only what it measures

    if args.what == "upstream":
        return _upstream(args)
    if args.what == "simulate" and args.seed is not None:
        return _replay(args.seed)
    try:
        report = _failover(args) if args.what == "failover" else _bench(args)
    except BenchError as error:
        raise CommandFailed(str(error)) from error
    if args.format == "json":
        write_json(report.as_json())
    else:
        write(report.as_text())
    return 0 if report.ok else 1


def _failover(args: argparse.Namespace) -> Table:
    from engine.bench.failover import bench

    only = tuple(args.only.split(",")) if args.only else ()
    return bench.bench(bench.Options(bench.FAST if args.fast else 1.0, only, args.client))


def _bench(args: argparse.Namespace) -> Report:
    if args.what == "local":
        from engine.bench import local

        return local.bench(local.Options(args.model, args.repeats, args.smoke, args.threads))
    if args.what == "templates":
        from engine.bench import templates

        return templates.run(args.smoke)
    if args.what == "simulate":
        from engine.bench import simulate

        return simulate.bench(simulate.Options(20 if args.smoke else args.seeds, args.first, args.smoke))
    if args.what == "outage":
        from engine.bench.outage import bench as outage

        if args.smoke:
            return outage.bench(outage.Options(rate=50, outage=5, partial=500, seed=args.seed, smoke=True))
        return outage.bench(outage.Options(seed=args.seed))
    if args.what == "disconnects":
        from engine.bench import disconnects

        if args.smoke:
            return disconnects.bench(disconnects.Options(count=60, at_once=12, smoke=True))
        return disconnects.bench(disconnects.Options(args.count))
    if args.what == "reload":
        from engine.bench.reloading import bench as reloading

        if args.smoke:
            return reloading.bench(reloading.Options(reloads=10, busy=4, streams=20, smoke=True))
        options = reloading.Options(args.reloads, args.every / 1e3, routes=args.routes)
        return reloading.bench(options)
    if args.what == "budget":
        from engine.bench.spending import bench as spending

        if args.smoke:
            few = spending.Options((1,), 60, 300, rounds=1, again=2, stores=("redis",), smoke=True)
            return spending.bench(few)
        return spending.bench(spending.Options(args.processes, args.in_flight))
    from engine.bench import sidecar

    if args.smoke:
        return sidecar.bench(sidecar.Options(seconds=0.1, rounds=1, smoke=True))
    return sidecar.bench(sidecar.Options(args.seconds, args.rounds, vs=args.vs, vs_model=args.vs_model))


def _upstream(args: argparse.Namespace) -> int:
    """Serve faults until interrupted; each request is told on stderr as one JSON line."""
    from engine.bench.faults.catalogue import FAULTS, UnknownFault, as_text
    from engine.bench.faults.exchange import Seen
    from engine.bench.faults.provider import serve
    from engine.bench.loop import run as run_loop

    if args.list:
        if args.format == "json":
            rows = [{"name": row.name, "what": row.what, "serves": row.serves} for row in FAULTS.values()]
            write_json({"faults": rows})
        else:
            write(as_text(list(FAULTS.values())))
        return 0

    def told(seen: Seen) -> None:
        print(json.dumps(seen.as_json()), file=sys.stderr, flush=True)

    try:
        run_loop(serve(args.fault, port=args.port, quicker=args.quicker, pace=args.pace / 1e3, told=told))
    except UnknownFault as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise CommandFailed(f"port {args.port}: {error.strerror}") from None
    except KeyboardInterrupt:
        return 0
    return 0


def _replay(seed: int) -> int:
    from engine.bench.simulate import replay

    lines = list(replay(seed))
    write("\n".join(lines))
    return 1 if any(line.startswith("broken: ") for line in lines) else 0
