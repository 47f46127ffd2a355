"""Session files: what they mean, and what is wrong with them, in which line, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.area import Everywhere, Rectangle
from edge_node.cameras.source import SourceOptions
from edge_node.description import Player, TimeBase
from edge_node.live.config import read_session
from edge_node.live.errors import SessionFileError
from edge_node.live.load import DEFAULT_STEPS, LoadStep
from edge_node.live.settings import SessionSettings
from tipoff.errors import ConflictError

FULL = """\
name = "game-7"
node = "court-a"
state = "state"
rig = "court.toml"
scale = 0.001
area = [-14, -8, 14.5, 8]

[sources]
transport = "udp"
latency_ms = 40

[cameras]
north = "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.11/stream1"

[cameras.south]
source = "south.mp4"
loop = true
sender_clock = false
transport = "tcp"

[models]
pose_model = "mixed"
detect_every = 20
rest_every = 0
input_size = 640
threshold = 0.2
triton = "127.0.0.1:8001"

[tracking]
lag_ms = 200
rate_hz = 50

[rounds]
hold_ms = 15

[load]
calm_s = 3
[[load.steps]]
detect_factor = 2
[[load.steps]]
detect_factor = 2
posed_share = 0.5

[[roster.teams]]
name = "Home"
players = { "0" = "Ann", "00" = "Bea" }
[[roster.teams]]
name = "Away"
players.23 = "Cid"

[journal]
max_gb = 10
[ring]
minutes = 0
[availability]
min_views = 4
[listen]
subscribers = "0.0.0.0:7400"
metrics = "off"
[telemetry]
log_level = "debug"
otlp = "127.0.0.1:4317"
"""

LEAST = """\
name = "g"
rig = "court.toml"
[cameras]
a = "a.mp4"
b = "b.parquet"
"""


def read(folder: Path, text: str) -> SessionSettings:
    path = folder / "game.toml"
    path.write_text(text)
    return read_session(path)


def test_everything_that_can_be_said_is_understood(tmp_path: Path) -> None:
    settings = read(tmp_path, FULL)
    assert (settings.name, settings.node, settings.scale) == ("game-7", "court-a", 0.001)
    assert settings.rig == tmp_path / "court.toml"
    assert settings.state == tmp_path / "state"
    assert settings.area == Rectangle(-14, -8, 14.5, 8)
    north, south = settings.cameras
    assert north.options == SourceOptions(transport="udp", latency_ns=40_000_000)
    assert north.shown == "rtsp://***@10.0.0.11/stream1"
    assert south.options == SourceOptions(loop=True, use_sender_clock=False, latency_ns=40_000_000)
    assert south.shown == str(tmp_path / "south.mp4")
    plan = settings.models.plan
    assert (plan.detect_every, plan.rest_every, plan.input_px) == (20, 0, 640)
    assert (plan.pose.model, settings.models.threshold) == ("mixed", 0.2)
    assert settings.models.triton == "127.0.0.1:8001"
    assert (settings.tracking.lag_ms, settings.tracking.rate_hz) == (200.0, 50.0)
    assert settings.rounds.hold_ns == 15_000_000
    assert settings.load.calm_s == 3.0
    assert settings.load.steps == (LoadStep(2), LoadStep(2, 0.5))
    assert [team.name for team in settings.roster] == ["Home", "Away"]
    assert settings.roster[0].players == (Player("0", "Ann"), Player("00", "Bea"))
    assert settings.roster[1].players == (Player("23", "Cid"),)
    assert (settings.journal.max_gb, settings.journal.max_age_h) == (10.0, 72.0)
    assert settings.ring.minutes == 0.0
    assert (settings.availability.min_views, settings.availability.max_std_mm) == (4, 30.0)
    assert settings.listen.subscribers == "0.0.0.0:7400"
    assert settings.listen.metrics == "off"
    assert settings.telemetry.otlp == "127.0.0.1:4317"
    assert settings.sees


def test_the_least_that_must_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    settings = read(tmp_path, LEAST)
    assert settings.state == tmp_path / "xdg" / "tipoff" / "g"
    assert settings.area is None
    assert settings.load.steps == DEFAULT_STEPS
    assert settings.node
    assert settings.sees
    assert read(tmp_path, 'area = "all"\n' + LEAST).area == Everywhere()
    assert not read(tmp_path, LEAST.replace("a.mp4", "a.parquet")).sees


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (('name = "g"', ""), 1, "name is missing: write name = 'game-7'"),
        (('"g"', '"g/7"'), 1, "'g/7' is no name: letters"),
        (('"g"', "7"), 1, "must be a text"),
        (('rig = "court.toml"', 'rgi = "court.toml"'), 1, "rig is missing"),
        (("[cameras]", "scael = 1\n[cameras]"), 3, "not known here; did you mean scale?"),
        (("[cameras]", "scale = 0\n[cameras]"), 3, "must be a number from 1e-06 to 1e"),
        (("[cameras]", "scale = nan\n[cameras]"), 3, "must be a number"),
        (("[cameras]", "area = [1, 2, 3]\n[cameras]"), 3, "must be a list of 4 numbers"),
        (("[cameras]", 'area = "court"\n[cameras]'), 3, r'must be "all" or \[x0'),
        (("[cameras]", "area = [1, 2, 0, 3]\n[cameras]"), 3, "area: "),
        (("[cameras]", "sources = 1\n[cameras]"), 3, r"must be a table: write \[sources\]"),
        (('a = "a.mp4"', 'a = "http://h/a"'), 4, "http is not spoken here"),
        (('a = "a.mp4"', 'a = "rtsp://u:hush@h/a"'), 4, "writes a password out"),
        (('a = "a.mp4"', "a = 1"), 4, "must be a table"),
        (('a = "a.mp4"', 'a = {source = "a.mp4", lop = true}'), 4, "did you mean loop?"),
        (('a = "a.mp4"', 'a = {source = "a.mp4", loop = 1}'), 4, "must be true or false"),
        (('a = "a.mp4"', 'a = {source = "a", transport = "x"}'), 4, "'x' is none of tcp, udp"),
        (('a = "a.mp4"\nb = "b.parquet"', ""), 3, "names no camera"),
        (('b.parquet"', 'b"\n[models]\n\ninput_size = 33'), 6, "input_px|multiple of 32"),
        (('b.parquet"', 'b"\n[models]\ntriton = "x"'), 7, "'x' is no HOST:PORT"),
        (('b.parquet"', 'b"\n[load]\ncalm_s = 100'), 6, "calm_s <= calm_most_s"),
        (('b.parquet"', 'b"\n[[load.steps]]\n[[load.steps]]\nposed_share = 2'), 8, "from 0.01"),
        (('b.parquet"', 'b"\n[load]\nsteps = 1'), 7, r"write \[\[load.steps\]\]"),
        (('a = "a.mp4"', 'a = { source = "a.mp4", loop = "no" }'), 4, "must be true or false"),
        (('b.parquet"', 'b"\n[availability]\nmin_views = 2.5'), 7, "must be a whole number"),
        (('b.parquet"', 'b"\n[listen]\nmetrics = ":9"'), 7, "is no HOST:PORT"),
        (('b.parquet"', 'b"\n[telemetry]\nlog_level = "loud"'), 7, "none of debug"),
        (('b.parquet"', 'b"\n[[roster.teams]]\nname="H"\nplayers.x="A"'), 8, "no shirt number"),
        (("[cameras]", f"scale = 1{'0' * 400}\n[cameras]"), 3, "must be a number"),
        (("[cameras]", f"area = [0, 0, 1, 1{'0' * 400}]\n[cameras]"), 3, "a list of 4 numbers"),
        (("[cameras]", "area = [0, 0, 1, inf]\n[cameras]"), 3, "must be a list of 4 numbers"),
        (("[cameras]", f"scale = 1{'0' * 5000}\n[cameras]"), 3, "TOML: a number is too long"),
        (('a = "a.mp4"', 'a = "rtsp://u:hu\'hush@h/a"'), 4, "writes a password out"),
        (('a = "a.mp4"', 'a = "u:hush@h/a"'), 4, "a URL, .* write rtsp://HOST/PATH$"),
        (('a = "a.mp4"', 'a = "~nobody-of-that-name/a"'), 4, "no such user"),
        (('b.parquet"', 'b"\n[models]\ntriton = "u:hush@h:1"'), 7, "no HOST:PORT"),
        (('b.parquet"', 'b"\n[telemetry]\notlp = "https://u:hush@h/a"'), 7, "no HOST:PORT"),
        (('b.parquet"', 'b"\n[availability]\noff_after_s = 0.1'), 6, "off_after_s is 0.1 s and"),
        (('b.parquet"', 'b"\nx = '), 6, "is no TOML: Invalid value"),
        (('b.parquet"', "b"), 5, "is no TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_a_remedy(
    tmp_path: Path, change: tuple[str, str], line: int, said: str
) -> None:
    assert change[0] in LEAST
    with pytest.raises(SessionFileError, match=said) as caught:
        read(tmp_path, LEAST.replace(*change))
    assert caught.value.ids["line"] == line, str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'game.toml'}:{line}: ")
    assert "hush" not in str(caught.value)


def test_what_is_no_text_at_all(tmp_path: Path) -> None:
    path = tmp_path / "game.toml"
    with pytest.raises(SessionFileError, match="cannot be read: No such file"):
        read_session(path)
    path.write_bytes(b'name = "g"\n# \xff\n')
    with pytest.raises(SessionFileError, match=":2: is not UTF-8"):
        read_session(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(SessionFileError, match="larger than 1 MB"):
        read_session(path)
    path.write_text("a = " + "[" * 3000)
    with pytest.raises(SessionFileError, match="is no TOML: brackets are nested too deep"):
        read_session(path)


BESIDE = """\
name = "g"
rig = "court.toml"
[sources]
transport = "udp"
latency_ms = 30
[cameras]
a = { source = "rtsp://10.0.0.11/a", latency_ms = 50 }
b = "b.parquet"
"""


def test_a_source_that_is_put_by_hand_is_read_as_the_file_says(tmp_path: Path) -> None:
    settings = read(tmp_path, BESIDE)
    put = settings.camera_with("a", "rtsp://10.0.0.99/a")
    assert put.shown == "rtsp://10.0.0.99/a"
    assert put.options == SourceOptions(transport="udp", latency_ns=50_000_000)
    other = settings.camera_with("c", "c.mp4")
    assert other.options == SourceOptions(transport="udp", latency_ns=30_000_000)
    assert other.shown == str(tmp_path / "c.mp4")


def test_a_session_without_models_takes_no_source_of_pictures(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST.replace("a.mp4", "a.parquet"))
    assert settings.camera_with("a", "other.parquet").address.observed
    for source in ("rtsp://10.0.0.11/a", "a.mp4"):
        with pytest.raises(ConflictError, match="no models to look with"):
            settings.camera_with("a", source)


def test_a_session_takes_no_source_of_another_time(tmp_path: Path) -> None:
    text = LEAST.replace("[cameras]", "[sources]\nshift = false\n[cameras]")
    settings = read(tmp_path, text)
    assert settings.time_base is TimeBase.RECORDING
    assert settings.camera_with("a", "other.mp4").time_base is TimeBase.RECORDING
    with pytest.raises(ConflictError, match=r"count from 1970"):
        settings.camera_with("a", "rtsp://10.0.0.11/a")


def test_a_camera_is_live_whatever_the_file_says_of_recordings(tmp_path: Path) -> None:
    cameras = LEAST.replace("a.mp4", "rtsp://h/a").replace("b.parquet", "rtsp://h/b")
    settings = read(tmp_path, cameras.replace("[cameras]", "[sources]\nshift = false\n[cameras]"))
    assert settings.time_base is TimeBase.UTC


def test_the_mark_that_some_editors_begin_a_file_with_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "game.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())
    assert read_session(path).name == "g"
