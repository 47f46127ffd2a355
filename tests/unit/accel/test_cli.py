"""`tipoff rig` as a user runs it: in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from accel import Rig
from tests.support.calibrations import qualisys_text, write_colmap
from tests.support.cli import run_tipoff
from tests.support.rigs import ring_rig

CORNERS = {
    "near_left": [-5.0, 4.0, 0.0],
    "near_right": [-5.0, -4.0, 0.0],
    "far_left": [5.0, 4.0, 0.0],
    "far_right": [5.0, -4.0, 0.0],
}
SHIFT = np.array([1.0, -2.0, 0.5])


@pytest.fixture
def rig_path(tmp_path: Path) -> Path:
    path = tmp_path / "rig.toml"
    ring_rig(4).save(path)
    return path


def points_file(path: Path, rig: Rig, error_px: float = 0.0) -> Path:
    """The corners as this rig sees them; on the court they lie at SHIFT from there."""
    rng = np.random.default_rng(0)
    text = ""
    for name, corner in CORNERS.items():
        uv = rig.project(corner) + error_px * rng.normal(size=(len(rig), 2))
        pixels = ", ".join(f"{c} = {uv[i].tolist()}" for i, c in enumerate(rig.names))
        court = (np.array(corner) + SHIFT).tolist()
        text += f"[points.{name}]\ncourt_m = {court}\npixels = {{ {pixels} }}\n"
    path.write_text(text)
    return path


def test_show_tells_where_cameras_stand_and_look(rig_path: Path) -> None:
    shown = run_tipoff("rig", "show", rig_path)

    assert shown.returncode == 0
    assert "cam00   1920 x 1080  1400.0 1390.0" in shown.stdout
    assert "4 cameras, digest " + ring_rig(4).digest()[:12] in shown.stdout


def test_show_for_programs(rig_path: Path) -> None:
    shown = json.loads(run_tipoff("rig", "show", "--json", rig_path).stdout)

    assert shown["digest"] == ring_rig(4).digest()
    assert [camera["name"] for camera in shown["cameras"]] == list(ring_rig(4).names)
    assert np.allclose([c["centre_m"] for c in shown["cameras"]], ring_rig(4).centers_m)


def test_show_takes_a_scale(tmp_path: Path) -> None:
    write_colmap(ring_rig(2), tmp_path, unit_m=0.5)

    refused = run_tipoff("rig", "show", tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "give `scale`, metres per unit" in refused.stderr
    assert run_tipoff("rig", "show", tmp_path, "--scale", "0.5").returncode == 0


def test_a_broken_file_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "a.qca.txt").write_text(qualisys_text(ring_rig(2))[:900])
    for command in ("show", "check"):
        failed = run_tipoff("rig", command, tmp_path / "a.qca.txt")
        assert failed.returncode == 2
        assert failed.stdout == ""
        assert len(failed.stderr.splitlines()) == 1
        assert "export the calibration from QTM again" in failed.stderr
    as_json = run_tipoff("rig", "show", "--json", tmp_path / "a.qca.txt")
    error = json.loads(as_json.stdout)["error"]
    assert error["type"] == "CalibrationFileError"
    assert error["ids"]["path"].endswith("a.qca.txt")


def test_align_places_the_rig_by_what_it_sees(rig_path: Path, tmp_path: Path) -> None:
    points = points_file(tmp_path / "points.toml", ring_rig(4), error_px=1.0)
    out = tmp_path / "court.toml"
    done = run_tipoff("rig", "align", rig_path, "--points", points, "--out", out)

    assert done.returncode == 0
    assert "near_left" in done.stdout
    assert f"wrote {out}" in done.stdout
    assert np.abs(Rig.load(out).centers_m - ring_rig(4).centers_m - SHIFT).max() < 0.05
    for rig, code in ((rig_path, 1), (out, 0)):
        checked = run_tipoff("rig", "check", rig, "--points", points, "--json")
        assert checked.returncode == code
        assert json.loads(checked.stdout)["ok"] is (code == 0)


def test_align_for_programs_says_how_well_it_fits(rig_path: Path, tmp_path: Path) -> None:
    points = points_file(tmp_path / "points.toml", ring_rig(4))
    arguments = ("rig", "align", rig_path, "--points", points, "--out", tmp_path / "o.toml")
    result = json.loads(run_tipoff(*arguments, "--with-scale", "--json").stdout)

    assert result["rms_m"] < 1e-6
    assert result["scale"] == pytest.approx(1.0, abs=1e-6)
    assert set(result["residual_m"]) == set(CORNERS)
    assert result["digest"] == Rig.load(tmp_path / "o.toml").digest()


def test_align_takes_positions_and_warns_of_a_bad_fit(rig_path: Path, tmp_path: Path) -> None:
    tables = [
        f"[points.{name}]\ncourt_m = {corner}\nrig_m = {[2 * value for value in corner]}\n"
        for name, corner in CORNERS.items()
    ]
    (tmp_path / "points.toml").write_text("".join(tables))
    arguments = ("rig", "align", rig_path, "--points", tmp_path / "points.toml")
    rigid = run_tipoff(*arguments, "--out", tmp_path / "a.toml")
    scaled = run_tipoff(*arguments, "--out", tmp_path / "b.toml", "--with-scale")

    assert "--with-scale if the rig's unit is uncertain" in rigid.stderr
    assert scaled.stderr == ""
    assert "lengths times 0.5" in scaled.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no points"),
        ("[points.a]\nrig_m = [0, 0, 0]\n", "'a', field 'court_m': is missing"),
        ("[points.a]\ncourt_m = [0, 0, 0]\n", "need one of `pixels`"),
        ("[points.a]\ncourt_m = [0, 0]\nrig_m = [0, 0, 0]\n", "has 2 numbers, not 3"),
        ("[points.a]\ncourt_m = [0, 0, 0]\nrig = [0, 0, 0]\n", "use court_m, rig_m, pixels"),
        (
            "[points.a]\ncourt_m = [0, 0, 0]\npixels = { cam00 = [1, 2], cam09 = [1, 2] }\n",
            "there is no camera 'cam09'; the rig has cam00, cam01",
        ),
        (
            "[points.a]\ncourt_m = [0, 0, 0]\npixels = { cam00 = [1, 2], cam01 = [1900, 2] }\n",
            "the pixels of point 'a' (cam00, cam01) meet in no point",
        ),
        ("[points.a]\ncourt_m = [0, 0, 0]\nrig_m = [0, 0, 0]\n", "1 points do not place a rig"),
    ],
)
def test_align_says_what_is_wrong_with_the_points(
    rig_path: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "points.toml").write_text(text)
    out = tmp_path / "out.toml"
    failed = run_tipoff(
        "rig", "align", rig_path, "--points", tmp_path / "points.toml", "--out", out
    )

    assert failed.returncode == 2
    assert message in failed.stderr
    assert not out.exists()


def test_check_fails_with_what_is_wrong(tmp_path: Path, rig_path: Path) -> None:
    sound = run_tipoff("rig", "check", rig_path)
    assert sound.returncode == 0
    assert "nothing looks wrong" in sound.stdout

    ring_rig(1).save(tmp_path / "one.toml")
    alone = run_tipoff("rig", "check", tmp_path / "one.toml")
    assert alone.returncode == 1
    assert "error: one camera alone triangulates nothing" in alone.stdout
