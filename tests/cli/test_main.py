"""The dispatcher: what a shell sees when a command is called right, wrong, or fails."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import types
from importlib import import_module

import pytest

from engine.cli import main as cli
from engine.cli.arguments import Parser
from engine.cli.output import CommandFailed


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Puts a command `demo` in the table; its `run` is whatever the test hands over."""

    def put(run, register=lambda parser: None, **names):
        module = types.ModuleType("engine.cli.demo", "Says hello.")
        module.register, module.run = register, run
        for name, value in names.items():
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, "engine.cli.demo", module)
        monkeypatch.setitem(cli.COMMANDS, "demo", "say hello")

    return put


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_of_the_table_has_its_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(f"engine.cli.{name}")
    assert module.__doc__
    assert cli.main([name, "--help"]) == 0
    assert f"usage: engine {name}" in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in cli.COMMANDS)


def test_no_command_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: engine COMMAND" in captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("engine 0.")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["valdate"], "there is no command 'valdate'; did you mean 'validate'?"),
        (["zzz"], "there is no command 'zzz'\n"),
        (["--versoin"], "there is no option '--versoin'; did you mean '--version'?"),
        (["demo", "--formt", "json"], "there is no option --formt; did you mean '--format'?"),
        (["demo", "--form", "json"], "there is no option --form; did you mean '--format'?"),
        (["demo", "--format", "jsn"], "'jsn' is none of text, json; did you mean 'json'?"),
        (["demo", "now"], "one argument too many: 'now'"),
    ],
)
def test_wrong_calls_are_told_and_exit_2(command, argv, said, capsys: pytest.CaptureFixture[str]) -> None:
    command(lambda args: 0)
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "usage: engine" in captured.err


def test_subcommands_share_the_format_and_the_help(command, capsys: pytest.CaptureFixture[str]) -> None:
    def register(parser: Parser) -> None:
        below = parser.add_subparsers(dest="action", required=True)
        below.add_parser("list")
        below.add_parser("remove").add_argument("--yes", action="store_true")

    seen: list[argparse.Namespace] = []
    command(lambda args: seen.append(args) or 0, register)
    assert cli.main(["demo", "list", "--format", "json"]) == 0
    assert (seen[0].action, seen[0].format) == ("list", "json")
    assert cli.main(["demo", "lst"]) == 2
    assert "did you mean 'list'?" in capsys.readouterr().err
    assert cli.main(["demo", "remove", "--yse"]) == 2
    assert "there is no option --yse; did you mean '--yes'?" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_is_the_commands_own(command, code: int) -> None:
    command(lambda args: code)
    assert cli.main(["demo"]) == code


def test_a_command_can_bring_its_formats(command, capsys: pytest.CaptureFixture[str]) -> None:
    command(lambda args: print(args.format) or 0, FORMATS=("text", "sarif"))
    assert cli.main(["demo", "--format", "sarif"]) == 0
    assert capsys.readouterr().out == "sarif\n"


def _raise(error: BaseException):
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_a_failed_command_says_what_to_do(command, capsys: pytest.CaptureFixture[str]) -> None:
    command(_raise(CommandFailed("no such thing", help="make one")))
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == "engine demo: error: no such thing\n  help: make one\n"


def test_a_fault_of_ours_is_one_line_unless_debugging(
    command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENGINE_DEBUG", raising=False)
    command(_raise(ZeroDivisionError("by zero")))
    assert cli.main(["demo"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by zero" in err
    assert "report it" in err
    monkeypatch.setenv("ENGINE_DEBUG", "1")
    assert cli.main(["demo"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_file_is_not_called_a_fault_of_ours(command, capsys: pytest.CaptureFixture[str]) -> None:
    command(_raise(FileNotFoundError(2, "No such file or directory", "x.json")))
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == "engine demo: error: [Errno 2] No such file or directory: 'x.json'\n"


_DEMO = """
import sys, types
from engine.cli import main as cli
module = types.ModuleType("engine.cli.demo", "Demo.")
module.register = lambda parser: None
def run(args):
    {body}
    return 0
module.run = run
sys.modules["engine.cli.demo"] = module
cli.COMMANDS["demo"] = "demo"
sys.exit(cli.main(["demo"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_ends_the_process_by_the_signal_without_a_traceback() -> None:
    body = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"
    done = subprocess.run([sys.executable, "-c", _DEMO.format(body=body)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_silent() -> None:
    body = "print('x' * 1_000_000)"
    process = subprocess.Popen(
        [sys.executable, "-c", _DEMO.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process:
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 2


def test_the_dispatcher_is_light() -> None:
    """`engine --help` must not pay for what a command needs."""
    code = "import sys; from engine.cli import main as m; m.main(['--version']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in out.split()}
    assert not loaded & {"pydantic", "jinja2", "aiohttp", "httpx", "asyncio", "yaml", "numpy", "onnxruntime"}
