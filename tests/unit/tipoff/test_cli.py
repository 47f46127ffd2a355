"""The command line teaches, survives a broken room, and ends with codes that mean something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.cli import run_tipoff, tipoff_command
from tipoff import cli
from tipoff.cli import SECTIONS

ROOM = """
import os, signal, sys, time
import click
from tipoff.console import echo_json, json_option
from tipoff.errors import ConflictError

@click.command()
@json_option
@click.option("--how", default="well")
def lab(how: str, as_json: bool) -> None:
    "Try things out."
    if how == "badly":
        raise ConflictError("port 8000 is taken; give another by --port", port=8000)
    if how == "wrongly":
        raise KeyError("what nobody foresaw")
    if how == "endlessly":
        try:
            click.echo("ready")
            sys.stdout.flush()
            time.sleep(60)
        finally:
            click.echo("given back")
    if how == "loudly":
        for _ in range(100_000):
            click.echo("x" * 100)
    if how == "code":
        sys.exit(9)
    echo_json({"how": how}) if as_json else click.echo(how)
"""


@pytest.fixture
def lab(tmp_path: Path) -> dict[str, str]:
    """Install rooms beside the real ones: one that works, one broken, one that is no command."""
    (tmp_path / "labroom.py").write_text(textwrap.dedent(ROOM))
    (tmp_path / "brokenroom.py").write_text("import a_module_that_is_not_there\n")
    info = tmp_path / "labroom-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labroom\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[tipoff.commands]\nlab = labroom:lab\nbroken = brokenroom:x\nodd = labroom:ROOM_IS_ODD\n"
        "number = os:O_RDONLY\n"
    )
    return {"PYTHONPATH": str(tmp_path)}


def test_help_lists_every_registered_command_with_an_example() -> None:
    shown = run_tipoff("--help")
    assert shown.returncode == 0
    assert shown.stderr == ""
    names = metadata.entry_points(group=cli.ENTRY_POINTS).names
    assert names == {name for section in SECTIONS.values() for name in section}
    lines = shown.stdout.splitlines()
    for name in names:
        assert any(line.startswith(f"  {name} ") for line in lines), name
        assert f"$ {cli.EXAMPLES[name]}" in shown.stdout
    assert "unavailable:" not in shown.stdout


def test_version_says_what_runs_here() -> None:
    shown = run_tipoff("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"tipoff {metadata.version('tipoff')} (with its core; Python 3.")


def test_a_room_of_another_distribution_is_found(lab: dict[str, str]) -> None:
    assert "lab     Try things out." in run_tipoff("--help", env=lab).stdout
    ran = run_tipoff("lab", "--json", env=lab)
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"how": "well"})


def test_a_broken_room_is_shown_with_its_reason_and_harms_no_other(lab: dict[str, str]) -> None:
    shown = run_tipoff("--help", env=lab).stdout
    assert "(unavailable: ModuleNotFoundError: No module named 'a_module_that_is_not_there')" in (
        " ".join(shown.split())
    )
    assert "os:O_RDONLY is no command" in " ".join(shown.split())
    ran = run_tipoff("broken", "--any", "option", env=lab)
    assert ran.returncode == 5
    assert "a_module_that_is_not_there" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert run_tipoff("lab", env=lab).stdout == "well\n"


def test_an_error_is_one_message_on_stderr(lab: dict[str, str]) -> None:
    ran = run_tipoff("lab", "--how", "badly", env=lab)
    assert ran.returncode == 4
    assert ran.stdout == ""
    assert ran.stderr == "error: port 8000 is taken; give another by --port\n"


def test_an_error_is_json_for_a_program(lab: dict[str, str]) -> None:
    ran = run_tipoff("lab", "--how", "badly", "--json", env=lab)
    assert ran.returncode == 4
    assert json.loads(ran.stdout) == {
        "error": {
            "type": "ConflictError",
            "message": "port 8000 is taken; give another by --port",
            "status": "FAILED_PRECONDITION",
            "retryable": False,
            "ids": {"port": 8000},
        }
    }


def test_a_traceback_only_for_who_asks(lab: dict[str, str]) -> None:
    ran = run_tipoff("lab", "--how", "wrongly", env=lab)
    assert ran.returncode == 70
    assert ran.stderr.startswith(
        "error: KeyError: 'what nobody foresaw'. This is a fault of Tipoff"
    )
    assert "Traceback" not in ran.stderr
    asked = run_tipoff("lab", "--how", "wrongly", env={**lab, "TIPOFF_DEBUG": "1"})
    assert asked.returncode == 70
    assert "Traceback" in asked.stderr


def test_wrong_usage_is_wrong_input(lab: dict[str, str]) -> None:
    ran = run_tipoff("lab", "--nonsense", env=lab)
    assert ran.returncode == 2
    assert "No such option" in ran.stderr
    ran = run_tipoff("lab", "--nonsense", "--json", env=lab)
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"]["status"] == "INVALID_ARGUMENT"
    assert run_tipoff("no-such-room").returncode == 2


def test_a_command_keeps_its_own_exit_code(lab: dict[str, str]) -> None:
    assert run_tipoff("lab", "--how", "code", env=lab).returncode == 9


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_let_a_command_give_back_what_it_holds(
    lab: dict[str, str], number: signal.Signals, code: int
) -> None:
    command = [tipoff_command(), "lab", "--how", "endlessly"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **lab},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == "given back\n"
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(lab: dict[str, str]) -> None:
    command = [tipoff_command(), "lab", "--how", "loudly"]
    env = {**os.environ, **lab}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_wrong_log_level_is_named() -> None:
    ran = run_tipoff("models", "list", env={"TIPOFF_LOG": "chatty"})
    assert ran.returncode == 2
    assert "TIPOFF_LOG=chatty is no level" in ran.stderr


def test_a_shell_completes_the_commands() -> None:
    env = {"_TIPOFF_COMPLETE": "bash_complete", "COMP_WORDS": "tipoff tr", "COMP_CWORD": "1"}
    shown = run_tipoff(env=env)
    assert shown.returncode == 0
    assert shown.stdout.split() == ["plain,track", "plain,triton"]
