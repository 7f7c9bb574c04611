"""One conversation in the terminal, streamed, through the plan, no server needed.

With PROMPT one answer is printed. Without, every line is a message of one conversation; an empty line or
Ctrl-D ends it. Ctrl-C stops an answer that is being written. -m picks the model a client would ask for;
without it the workspace's only one is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from engine.cli.arguments import Parser
from engine.cli.asker import add_key, asker
from engine.cli.output import CommandFailed, is_terminal, message, paint, write_json

if TYPE_CHECKING:
    from engine.embed import Engine
    from engine.plan.plan import Plan
    from engine.runtime.views import Key


def register(parser: Parser) -> None:
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="one message; without it, a conversation")
    parser.add_argument("--model", "-m", metavar="MODEL", help="the name to ask for")
    add_key(parser)
    parser.add_argument("--workspace", "-w", default=".", metavar="WS", help="its folder (default: .)")
    parser.add_argument("--env", metavar="NAME", help="apply the overlay envs/NAME")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="length of an answer at most")


def run(args: argparse.Namespace) -> int:
    # Deferred: `--help` compiles nothing.
    from engine.cli.compiled import compiled

    plan = compiled(args.workspace, args.env, quiet=True).plan
    if plan is None:
        return 1
    key = asker(args.key, plan, args.workspace)
    return asyncio.run(_converse(args, plan, key))


async def _converse(args: argparse.Namespace, plan: Plan, key: Key) -> int:
    from engine.embed import Engine

    async with Engine.open(args.workspace, plan=plan) as engine:
        model = args.model or _only_model(engine, key)
        fields: dict[str, Any] = {"key": key}
        if args.max_tokens is not None:
            fields["max_tokens"] = args.max_tokens
        for deployment, why in engine.snapshot.missing.items():
            message(f"{paint('note', 'yellow', stream=sys.stderr)}: {deployment}: {why}")
        if args.prompt is not None:
            return await _one(engine, model, args, fields)
        return await _many(engine, model, fields)


def _only_model(engine: Engine, key: Key) -> str:
    person = engine.snapshot.person(key)
    names = [name for name in engine.snapshot.matcher.names(person=person) if not name.endswith("*")]
    if len(names) == 1:
        return names[0]
    raise CommandFailed(f"which model? There is: {', '.join(names) or 'none'}", help="pick one with -m MODEL")


async def _one(engine: Engine, model: str, args: argparse.Namespace, fields: dict[str, Any]) -> int:
    from engine.errors import EngineError

    asked = [{"role": "user", "content": args.prompt}]
    try:
        if args.format == "json":
            reply = await engine.chat(model=model, messages=asked, **fields)
            write_json({"model": reply.model, "text": reply.text, "usage": reply.usage, "cost": reply.cost})
        else:
            await _answer(engine, model, asked, fields)
    except EngineError as error:
        raise CommandFailed(error.message) from None
    return 0


async def _many(engine: Engine, model: str, fields: dict[str, Any]) -> int:
    from engine.errors import EngineError

    if is_terminal(sys.stdin):
        message(f"talking to {model}; an empty line ends it")
    told: list[dict[str, str]] = []
    while line := (await asyncio.to_thread(_read_line)).strip():
        told.append({"role": "user", "content": line})
        try:
            text = await _answer(engine, model, told, fields)
        except EngineError as error:
            message(f"{paint('error', 'red', 'bold', stream=sys.stderr)}: {error.message}")
            told.pop()
        else:
            told.append({"role": "assistant", "content": text})
    return 0


def _read_line() -> str:
    if is_terminal(sys.stdin):
        print(paint("> ", "bold", stream=sys.stderr), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


async def _answer(engine: Engine, model: str, messages: list[dict[str, str]], fields: dict[str, Any]) -> str:
    """Print an answer as it comes and give its text. Ctrl-C stops it, and what had come counts."""
    texts: list[str] = []

    async def show() -> None:
        async with engine.stream(model=model, messages=messages, **fields) as stream:
            async for event in stream:
                if event["type"] == "text":
                    texts.append(event["text"])
                    print(event["text"], end="", flush=True)

    task = asyncio.create_task(show())
    try:
        with _interrupting(task):
            await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # not the answer was stopped, but the command
    print()
    return "".join(texts)


@contextlib.contextmanager
def _interrupting(task: asyncio.Task[None]) -> Any:
    """Ctrl-C cancels the answer instead of the command, where the platform's loop can tell it apart."""
    import signal  # only while an answer is written

    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except NotImplementedError:
        yield  # Windows: Ctrl-C ends the command, and with it the answer
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
