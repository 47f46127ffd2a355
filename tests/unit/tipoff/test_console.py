"""Progress, logs and JSON go where they belong: stdout is the result's alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from tipoff import console
from tipoff.errors import InternalError, InvalidInputError, NotFoundError

BAR = """
from tipoff.console import progress
with progress("Tracking", 40, "frames") as bar:
    for _ in range(40):
        bar.advance()
"""

LOG = """
import structlog
from tipoff.console import configure_logging
configure_logging()
structlog.get_logger().info("unheard")
structlog.get_logger().bind(camera="cam1").warning("frame lost")
"""

SECRET = """
import structlog
from tipoff.console import configure_logging

class Source:
    def open(self):
        url = self.url = "rtsp://admin:" + "hunter2@10.0.0.11/a?user=b&password=" + "hunter2"
        raise OSError(f"{url} does not answer")

configure_logging()
log = structlog.get_logger()
try:
    Source().open()
except OSError as error:
    log.exception("a call failed", why=str(error), tried=[str(error)])
"""


def test_progress_in_a_file_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Tracking", 40, "frames") as bar:
        for _ in range(39):
            bar.advance()
        bar.update(40)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Tracking: 40/40 frames, ")
    assert said.err.endswith(" s, done\n")


def test_progress_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PLAIN_PROGRESS_EVERY_S", 0.0)
    with console.progress("Reading", None) as bar:
        bar.update(3, total=9)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Reading: 3/9", "Reading: 3/9"]


def test_progress_on_a_terminal_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-c", BAR], stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert ran.stdout == b""
    assert "Tracking" in seen
    assert "40/40" in seen


def test_a_progress_that_fails_does_not_say_done(capsys: pytest.CaptureFixture[str]) -> None:
    def track() -> None:
        with console.progress("Tracking", 40) as bar:
            bar.advance()
            raise InvalidInputError("no")

    with pytest.raises(InvalidInputError):
        track()
    assert "done" not in capsys.readouterr().err


def test_logs_go_to_stderr_from_the_level_asked_for() -> None:
    ran = subprocess.run([sys.executable, "-c", LOG], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert "frame lost" in ran.stderr
    assert "camera=cam1" in ran.stderr
    assert "unheard" not in ran.stderr


def test_logs_for_a_program_are_json() -> None:
    env = {**os.environ, "TIPOFF_LOG_FORMAT": "json", "TIPOFF_LOG": "info"}
    ran = subprocess.run(
        [sys.executable, "-c", LOG], capture_output=True, text=True, check=True, env=env
    )
    first, second = ran.stderr.splitlines()
    assert '"event": "unheard"' in first
    assert '"camera": "cam1"' in second


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_shows_a_credential(form: str) -> None:
    """Neither the values of variables nor the URLs that errors and callers name."""
    env = {**os.environ, "TIPOFF_LOG_FORMAT": form}
    ran = subprocess.run(
        [sys.executable, "-c", SECRET], capture_output=True, text=True, check=True, env=env
    )
    assert "hunter2" not in ran.stderr
    assert "OSError: rtsp://***@10.0.0.11/a?*** does not answer" in ran.stderr
    assert ran.stderr.count("***@10.0.0.11") == 3


def test_an_error_that_nobody_foresaw_shows_no_credential(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("rtsp://admin:" + password + "@10.0.0.11/a does not answer")

    password = "hunter2"

    monkeypatch.setenv("TIPOFF_DEBUG", "1")
    assert console.run(fail, as_json=False) == InternalError.exit_code
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "***@10.0.0.11" in said
    assert "hunter2" not in said


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        console.echo_json({"x_m": float("nan")})


def test_any_error_has_its_place_in_the_tree() -> None:
    known = NotFoundError("no camera cam9", camera="cam9")
    assert console.as_tipoff_error(known) is known
    assert isinstance(console.as_tipoff_error(ZeroDivisionError("division")), InternalError)


def test_ids_of_any_kind_are_described(tmp_path: os.PathLike[str]) -> None:
    described = console.describe(NotFoundError("gone", file=tmp_path, index=3, why=None))
    assert described["ids"] == {"file": str(tmp_path), "index": 3, "why": None}
