"""What a run leaves: a table, a video, a page; whole or not at all."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from accel import COCO17, Snapshot, Tracker
from edge_node.colours import PALETTE, as_hex, track_colour
from edge_node.drawing import view_from_above
from edge_node.frames import Sink, TrackedFrame
from edge_node.overlay import GAP_PX, MAX_HEIGHT_PX, MAX_WIDTH_PX, OverlaySink, layout
from edge_node.pipeline import Pipeline
from edge_node.report import ReportInput, render_report
from edge_node.sinks import files
from edge_node.sinks.parquet import ParquetSink
from edge_node.summary import SummarySink
from tests.support.pipelines import PERIOD_NS, Kept, WalkerInference, Walkers, WalkerSource

J = len(COCO17.joints)
WALKERS = Walkers(people=2)
COLUMNS = [
    *("time_ns", "track_id", "joint", "x_m", "y_m", "z_m"),
    *("cov_xx", "cov_xy", "cov_xz", "cov_yy", "cov_yz", "cov_zz", "confidence", "views"),
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kept, SummarySink, OverlaySink]:
    """A short game through every sink."""
    out = tmp_path_factory.mktemp("out")
    kept, measured = Kept(), SummarySink(WALKERS.rig, COCO17)
    overlay = OverlaySink(out / "overlay.mp4", WALKERS.rig, COCO17, 60.0, poster_at=5)
    table = ParquetSink(out / "tracks.parquet", COCO17, {"rig_digest": "sha256:0"})
    inference = WalkerInference(WALKERS)
    sources = [WalkerSource(WALKERS, camera, 20) for camera in range(4)]
    sinks: list[Sink] = [kept, measured, overlay, table]
    Pipeline(WALKERS.rig, sources, inference, Tracker(WALKERS.rig), sinks).run()
    inference.close()
    return out, kept, measured, overlay


Played = tuple[Path, Kept, SummarySink, OverlaySink]


def test_the_table_has_a_row_for_each_time_track_and_joint(played: Played) -> None:
    out, kept, _, _ = played
    table = pq.read_table(out / "tracks.parquet")
    assert table.column_names == COLUMNS
    assert len(table) == sum(len(frame.snapshot.ids) for frame in kept.frames) * J
    frame = kept.frames[7]
    rows = [row for row in table.to_pylist() if row["time_ns"] == frame.time_ns]
    assert [row["joint"] for row in rows] == list(COCO17.joints) * 2
    ankle = next(r for r in rows if r["joint"] == "left_ankle" and r["track_id"] == 2)
    index = COCO17.joints.index("left_ankle")
    assert [ankle["x_m"], ankle["y_m"], ankle["z_m"]] == frame.snapshot.joints_m[1, index].tolist()
    covariance = frame.snapshot.covariance_m2[1, index]
    assert ankle["cov_xz"] == covariance[0, 2]
    assert ankle["cov_yy"] == covariance[1, 1]
    assert ankle["views"] == frame.snapshot.views[1, index]


def test_the_table_says_its_units_and_its_skeleton(played: Played) -> None:
    metadata = pq.read_schema(played[0] / "tracks.parquet").metadata
    assert json.loads(metadata[b"tipoff.units"])["cov_*"] == "m^2"
    assert json.loads(metadata[b"tipoff.skeleton"])["joints"] == list(COCO17.joints)
    assert metadata[b"tipoff.rig_digest"] == b"sha256:0"


def test_what_is_not_known_is_nan_in_the_table(tmp_path: Path) -> None:
    unknown = Snapshot(
        5,
        np.array([1], np.int64),
        np.full((1, J, 3), np.nan),
        np.full((1, J, 3, 3), np.nan),
        np.zeros((1, J), np.float32),
        np.zeros((1, J), np.int32),
    )
    sink = ParquetSink(tmp_path / "t.parquet", COCO17, {})
    sink.write(TrackedFrame(5, unknown, ()))
    sink.close()
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column("x_m").null_count == 0
    assert np.isnan(table.column("x_m").to_numpy()).all()


def test_an_empty_run_leaves_an_empty_table(tmp_path: Path) -> None:
    ParquetSink(tmp_path / "t.parquet", COCO17, {}).close()
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    target.write_text("of an earlier run")
    with pytest.raises(ZeroDivisionError):
        write_half(target)
    assert target.read_text() == "of an earlier run"
    with files.whole(target) as part:
        part.write_text("new")
        assert target.read_text() == "of an earlier run"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def write_half(target: Path) -> None:
    with files.whole(target) as part:
        part.write_text(f"half {1 // 0}")


def test_the_overlay_shows_every_frame_at_its_time_in_a_format_of_browsers(played: Played) -> None:
    with av.open(str(played[0] / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name in ("h264", "vp9")
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert len(frames) == 20
    assert frames[7].time == pytest.approx(7 * PERIOD_NS / 1e9, abs=1e-4)
    assert max(frames[0].width, 1) <= MAX_WIDTH_PX
    pixels = frames[10].to_ndarray(format="rgb24").reshape(-1, 3).astype(int)
    for track in (1, 2):
        gaps = np.abs(pixels - track_colour(track)).max(axis=1)
        assert (gaps < 40).sum() > 200, track
    assert played[3].poster is not None
    assert played[3].poster[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    "sizes", [[(1920, 1080)], [(1080, 1920)] * 4, [(1920, 1080)] * 8, [(1920, 1080), (720, 1280)]]
)
def test_panels_lie_beside_each_other_within_the_picture(sizes: list[tuple[int, int]]) -> None:
    panels, (width, height) = layout(sizes)
    assert width <= MAX_WIDTH_PX + 1
    assert height <= MAX_HEIGHT_PX + 1
    assert width % 2 == height % 2 == 0
    for panel, (w, h) in zip(panels, sizes, strict=True):
        assert panel.width_px / panel.height_px == pytest.approx(w / h, rel=0.02)
        assert panel.x_px + panel.width_px <= width
        assert panel.y_px + panel.height_px <= height
    for i, a in enumerate(panels):
        for b in panels[:i]:
            apart_x = abs(a.x_px - b.x_px) >= min(a.width_px, b.width_px) + GAP_PX
            apart_y = abs(a.y_px - b.y_px) >= min(a.height_px, b.height_px) + GAP_PX
            assert apart_x or apart_y


def test_four_upright_cameras_stand_in_one_row() -> None:
    panels, _ = layout([(1088, 1920)] * 4)
    assert {panel.y_px for panel in panels} == {0}


class Page(HTMLParser):
    """Collects what a page refers to and how it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.refers: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        if tag not in ("meta", "img", "br", "path", "rect", "circle", "polyline", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def report_of(played: Played, **changed: Any) -> str:
    _, _, measured, overlay = played
    summary = {
        **measured.as_dict(),
        "outside": 1,
        "area": "where 3 cameras look",
        "interrupted": False,
        "seconds": {"decode": 1.0, "detect": 2.0, "total": 3.0},
        "models": [{"name": "m<1>", "sha256": "0123", "licence": "Apache-2.0"}],
        "versions": {"tipoff": "0"},
        **changed,
    }
    given = ReportInput("A & B", measured, summary, {"decode": 80, "total": 1}, overlay.poster)
    return render_report(given)


def test_the_report_is_whole_by_itself_and_well_formed(played: Played) -> None:
    html = report_of(played)
    page = Page()
    page.feed(html)
    assert page.open == []
    assert all(reference.startswith("data:image/jpeg") for reference in page.refers)
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"https?://", html.replace("http://www.w3.org/2000/svg", ""))
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)


def test_the_report_shows_what_was_tracked_and_how_well(played: Played) -> None:
    html = report_of(played)
    assert "A &amp; B" in html
    assert "m&lt;1&gt;" in html
    assert "2 people tracked by 4 cameras in 20 frames" in html
    for text in ("From above", "Reprojection by camera", "Limb lengths", "Time by stage"):
        assert f"<h2>{text}</h2>" in html
    for name in WALKERS.rig.names:
        assert html.count(name) >= 2
    assert "left shoulder – left elbow" in html
    assert html.count("<caption>") == html.count("<table")
    assert html.count('role="img"') == html.count("<svg") == 2
    assert "left out" in html
    assert "interrupted" not in html
    assert "interrupted" in report_of(played, interrupted=True)


def test_a_run_that_found_nobody_has_a_report_too(played: Played) -> None:
    empty = SummarySink(WALKERS.rig, COCO17)
    html = report_of((played[0], played[1], empty, played[3]))
    assert html.count("Nobody was tracked") == 2


def test_paths_are_drawn_where_they_are(played: Played) -> None:
    drawing = view_from_above(WALKERS.rig, played[2].tracks)
    assert drawing.count("<polyline") == 4
    assert drawing.count("<polygon") == 4
    assert as_hex(track_colour(1)) in drawing
    assert "nan" not in drawing


def test_tracks_beyond_the_palette_start_again() -> None:
    assert track_colour(1) == track_colour(1 + len(PALETTE)) == PALETTE[0]
