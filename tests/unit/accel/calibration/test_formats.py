"""Every format gives the rig that was written, whatever the file is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel import CalibrationFileError, InvalidInputError, Rig, UnsupportedCameraError
from tests.support.calibrations import (
    pose2sim_toml,
    qualisys_text,
    write_colmap,
    write_opencv_pair,
)
from tests.support.rigs import ring_rig

FOUR_TERMS = (-0.1, 0.05, 1e-3, -5e-4, 0.0)


def assert_close(found: Rig, expected: Rig, within: float = 1e-9) -> None:
    """The same names and sizes, and numbers as near as text has them."""
    assert found.names == expected.names
    assert np.array_equal(found.size, expected.size)
    for field in ("K", "dist", "R", "t"):
        assert np.abs(getattr(found, field) - getattr(expected, field)).max() < within


def test_toml_round_trip_is_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = ring_rig(12)
    R = np.linalg.qr(rng.normal(size=(12, 3, 3)))[0]
    R *= np.sign(np.linalg.det(R))[:, None, None]
    names = [*[f"cam {i}" for i in range(8)], 'say "x"', "back\\slash", "Kamera-ä", "metadata"]
    rig = Rig(
        names,
        base.K * [[1.0], [1.0], [1.0]],
        rng.normal(size=(12, 5)),
        R,
        rng.normal(size=(12, 3)),
        base.size,
        rng.uniform(0, 20, 12),
    )
    rig.save(tmp_path / "rig.toml")
    again = Rig.load(tmp_path / "rig.toml")

    assert again == rig
    assert again.digest() == rig.digest()
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]


def test_saved_rotation_vectors_are_exact_near_half_turns_and_none(tmp_path: Path) -> None:
    """Others read only `rotation`: it has to hold R by itself."""
    angles = [0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, np.pi - 1e-6, np.pi - 1e-10, np.pi]
    axis = np.array([2.0, -1.0, 2.0]) / 3.0
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    R = np.stack([np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross for a in angles])
    base = ring_rig(len(angles))
    rig = Rig(base.names, base.K, base.dist, R, base.t, base.size)
    rig.save(tmp_path / "rig.toml")
    text = (tmp_path / "rig.toml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("rotation_matrix")]
    (tmp_path / "rig.toml").write_text("\n".join(kept))

    assert np.abs(Rig.load(tmp_path / "rig.toml").R - R).max() < 2e-15


def test_a_rotation_that_was_edited_does_not_pass_silently(tmp_path: Path) -> None:
    ring_rig(2).save(tmp_path / "rig.toml")
    text = (tmp_path / "rig.toml").read_text()
    (tmp_path / "rig.toml").write_text(text.replace("rotation = [", "rotation = [1", 1))

    with pytest.raises(CalibrationFileError, match="remove `rotation_matrix` if you changed"):
        Rig.load(tmp_path / "rig.toml")


def test_pose2sim_toml(tmp_path: Path) -> None:
    rig = ring_rig(3, FOUR_TERMS)
    (tmp_path / "Calib.anything").write_text(pose2sim_toml(rig))

    assert_close(Rig.load(tmp_path / "Calib.anything"), rig)
    assert_close(Rig.load(str(tmp_path)), rig)


def test_scale_multiplies_lengths_alone(tmp_path: Path) -> None:
    rig = ring_rig(3, FOUR_TERMS)
    (tmp_path / "a.toml").write_text(pose2sim_toml(rig))
    scaled = Rig.load(tmp_path / "a.toml", scale=0.001)

    assert np.allclose(scaled.t, 0.001 * rig.t, rtol=1e-12)
    assert np.array_equal(scaled.K, rig.K)


def test_qualisys(tmp_path: Path) -> None:
    rig = ring_rig(3, FOUR_TERMS)
    (tmp_path / "x.toml").write_text(qualisys_text(rig))

    assert_close(Rig.load(tmp_path / "x.toml"), rig)
    assert_close(Rig.load(tmp_path), rig)
    metres = Rig.load(tmp_path / "x.toml", scale=1.0)
    assert np.allclose(metres.t, 1000 * rig.t)


def test_qualisys_leaves_out_what_films_nothing(tmp_path: Path) -> None:
    text = qualisys_text(ring_rig(4, FOUR_TERMS))
    text = text.replace('model="Miqus Video" serial="cam01"', 'model="Oqus 700" serial="cam01"')
    text = text.replace(
        'active="1" model="Miqus Video" serial="cam03"',
        'active="0" model="Miqus Video" serial="cam03"',
    )
    (tmp_path / "a.qca.txt").write_text(text)

    assert Rig.load(tmp_path).names == ("cam00", "cam02")


def test_qualisys_mentions_a_turned_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = qualisys_text(ring_rig(1, FOUR_TERMS)).replace('viewrotation="0"', 'viewrotation="90"')
    (tmp_path / "a.qca.txt").write_text(text)

    assert_close(Rig.load(tmp_path), ring_rig(1, FOUR_TERMS))
    assert "QTM shows camera cam00 turned by 90 degrees" in caplog.text


def test_qualisys_documents_no_skew(tmp_path: Path) -> None:
    text = qualisys_text(ring_rig(1, FOUR_TERMS)).replace('skew="0"', 'skew="1"')
    (tmp_path / "a.qca.txt").write_text(text)

    with pytest.raises(UnsupportedCameraError, match=r"'cam00', field 'intrinsic\.skew'"):
        Rig.load(tmp_path)


@pytest.mark.parametrize("start", ["intri.yml", "extri.yml", "."])
@pytest.mark.parametrize("matrices", [True, False])
def test_opencv_pair(tmp_path: Path, start: str, matrices: bool) -> None:
    rig = ring_rig(3)
    write_opencv_pair(rig, tmp_path, matrices=matrices)

    assert_close(Rig.load(tmp_path / start), rig)


def test_opencv_pair_in_one_file_under_any_name(tmp_path: Path) -> None:
    rig = ring_rig(2)
    write_opencv_pair(rig, tmp_path)
    inner = (tmp_path / "intri.yml").read_text()
    outer = (tmp_path / "extri.yml").read_text()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "both.dat").write_text(inner + outer.split("---", 1)[1])

    assert_close(Rig.load(tmp_path / "one" / "both.dat"), rig)


def test_opencv_without_sizes_takes_the_centre_as_half(tmp_path: Path) -> None:
    rig = ring_rig(2)
    write_opencv_pair(rig, tmp_path, sizes=False)

    assert_close(Rig.load(tmp_path), rig)  # Their principal points are 960, 540.


def test_opencv_pair_of_two_calibrations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_opencv_pair(ring_rig(3), tmp_path)
    write_opencv_pair(ring_rig(2), tmp_path / "a")
    (tmp_path / "extri.yml").write_text((tmp_path / "a" / "extri.yml").read_text())

    with pytest.raises(CalibrationFileError, match="the two files of one calibration"):
        Rig.load(tmp_path)


def test_easymocap_text_by_hand(tmp_path: Path) -> None:
    """As EasyMocap's own writer has it: three decimals, no quotes around data, no size."""
    (tmp_path / "intri.yml").write_text(
        '%YAML:1.0\n---\nnames:\n  - "1"\nK_1: !!opencv-matrix\n  rows: 3\n  cols: 3\n  dt: d\n'
        "  data: [1000.000, 0.000, 960.000, 0.000, 1001.000, 540.000,\n"
        "    0.000, 0.000, 1.000]\n"
        "dist_1: !!opencv-matrix\n  rows: 1\n  cols: 5\n  dt: d\n"
        "  data: [0.1, -.2, 0., 0.001, 1e-3]\n"
    )
    (tmp_path / "extri.yml").write_text(
        '%YAML:1.0\n---\nnames: [ "1" ]\nR_1: !!opencv-matrix\n  rows: 3\n  cols: 1\n  dt: d\n'
        "  data: [1.571, 0.000, 0.000]\nRot_1: !!opencv-matrix\n  rows: 3\n  cols: 3\n  dt: d\n"
        "  data: [1., 0., 0., 0., 0., -1., 0., 1., 0.]\n"
        "T_1: !!opencv-matrix\n  rows: 3\n  cols: 1\n  dt: d\n  data: [0.5, 1.0, 4.0]\n"
    )
    rig = Rig.load(tmp_path / "extri.yml")

    assert rig.names == ("1",)
    assert rig.size.tolist() == [[1920.0, 1080.0]]
    assert rig.dist.tolist() == [[0.1, -0.2, 0.0, 0.001, 1e-3]]
    assert rig.R[0].tolist() == [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    assert rig.t.tolist() == [[0.5, 1.0, 4.0]]


@pytest.mark.parametrize("start", ["cameras.txt", "images.txt", "."])
def test_colmap(tmp_path: Path, start: str) -> None:
    rig = ring_rig(3, FOUR_TERMS)
    write_colmap(rig, tmp_path, unit_m=2.5)

    assert_close(Rig.load(tmp_path / start, scale=2.5), rig)


def test_colmap_without_a_scale_is_refused(tmp_path: Path) -> None:
    write_colmap(ring_rig(2, FOUR_TERMS), tmp_path, unit_m=1.0)

    with pytest.raises(CalibrationFileError, match="lengths have no unit; give `scale`"):
        Rig.load(tmp_path)


def test_colmap_among_its_other_files(tmp_path: Path) -> None:
    rig = ring_rig(3, FOUR_TERMS)
    write_colmap(rig, tmp_path, unit_m=1.0)
    (tmp_path / "points3D.txt").write_text("1 1 0 0 0 128 7 0.5 1 12 2 13 3 5\n")
    (tmp_path / "frames.txt").write_text("# Frame list\n1 1 1 0 0 0 1 2 3 1 CAMERA 1 1\n")
    (tmp_path / "rigs.txt").write_text("1 1 CAMERA 1\n")
    (tmp_path / "database.db").write_bytes(b"SQLite format 3\x00")
    (tmp_path / "project.xml").write_text("<project/>")

    assert_close(Rig.load(tmp_path, scale=1.0), rig)


@pytest.mark.parametrize("points", ["", "\n", "\n12.5 3.5 -1 100 200 7"])
def test_colmap_with_points_or_without(tmp_path: Path, points: str) -> None:
    rig = ring_rig(4, FOUR_TERMS)
    write_colmap(rig, tmp_path, unit_m=1.0)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    images = [line for line in lines if line and not line.startswith("#")]
    (tmp_path / "images.txt").write_text("\n".join(image + points for image in images))

    assert_close(Rig.load(tmp_path, scale=1.0), rig)


@pytest.mark.parametrize(
    ("model", "focal", "terms"),
    [
        ("SIMPLE_PINHOLE 1920 1080 1000 960 540", (1000, 1000), [0, 0, 0, 0, 0]),
        ("PINHOLE 1920 1080 1000 1001 960 540", (1000, 1001), [0, 0, 0, 0, 0]),
        ("SIMPLE_RADIAL 1920 1080 1000 960 540 0.1", (1000, 1000), [0.1, 0, 0, 0, 0]),
        ("RADIAL 1920 1080 1000 960 540 0.1 0.2", (1000, 1000), [0.1, 0.2, 0, 0, 0]),
        ("OPENCV 1920 1080 1000 1001 960 540 1 2 3 4", (1000, 1001), [1, 2, 3, 4, 0]),
        ("FULL_OPENCV 1920 1080 1000 1001 960 540 1 2 3 4 5 0 0 0", (1000, 1001), [1, 2, 3, 4, 5]),
    ],
)
def test_colmap_models(
    tmp_path: Path, model: str, focal: tuple[float, float], terms: list[float]
) -> None:
    (tmp_path / "cameras.txt").write_text(f"7 {model}\n")
    (tmp_path / "images.txt").write_text("3 1 0 0 0 1 2 3 7 west.side.jpg\n12.5 3.5 -1\n")
    rig = Rig.load(tmp_path, scale=1.0)

    assert rig.names == ("west.side",)
    assert (rig.K[0, 0, 0], rig.K[0, 1, 1]) == focal
    assert rig.K[0, :2, 2].tolist() == [960.0, 540.0]
    assert rig.dist[0].tolist() == terms


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("FULL_OPENCV 1920 1080 1000 1001 960 540 1 2 3 4 5 6 0 0", "k4"),
        ("OPENCV_FISHEYE 1920 1080 1000 1001 960 540 1 2 3 4", "OPENCV_FISHEYE"),
        ("SIMPLE_RADIAL_FISHEYE 1920 1080 1000 960 540 1", "SIMPLE_RADIAL_FISHEYE"),
        ("RADIAL_FISHEYE 1920 1080 1000 960 540 1 2", "RADIAL_FISHEYE"),
        ("FOV 1920 1080 1000 1000 960 540 1", "FOV"),
        ("THIN_PRISM_FISHEYE 19 10 1 1 9 5 1 2 3 4 5 6 7 8", "THIN_PRISM_FISHEYE"),
    ],
)
def test_colmap_models_beyond_a_rig_are_refused_by_name(
    tmp_path: Path, model: str, named: str
) -> None:
    (tmp_path / "cameras.txt").write_text(f"7 {model}\n")
    (tmp_path / "images.txt").write_text("3 1 0 0 0 1 2 3 7 west.jpg\n\n")

    with pytest.raises(UnsupportedCameraError, match=f"{named}.*a Rig cannot hold"):
        Rig.load(tmp_path, scale=1.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("fisheye = false", "fisheye = true"), UnsupportedCameraError, "fisheye"),
        (("distortions = [", "distortions = [0, 0, 0, 0, "), UnsupportedCameraError, "k4"),
        (("distortions = [", "distortions = [1, "), CalibrationFileError, ""),
    ],
)
def test_toml_beyond_a_rig_is_refused_by_name(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    text = pose2sim_toml(ring_rig(2, (-0.1, 0.05, 1e-3, -5e-4, 0.0)))
    (tmp_path / "a.toml").write_text(text.replace(*change, 1))
    if message:
        with pytest.raises(error, match=f"camera 'cam00', field '.*{message}"):
            Rig.load(tmp_path / "a.toml")
    else:
        assert Rig.load(tmp_path / "a.toml").dist[0].tolist() == [1, -0.1, 0.05, 1e-3, -5e-4]


def test_longer_distortions_whose_rest_is_zero_are_taken(tmp_path: Path) -> None:
    text = pose2sim_toml(ring_rig(1, (-0.1, 0.05, 1e-3, -5e-4, 0.0)))
    for zeros in (1, 4, 8, 10):
        longer = text.replace("-0.0005]", "-0.0005" + ", 0.0" * zeros + "]")
        (tmp_path / "a.toml").write_text(longer)
        assert Rig.load(tmp_path / "a.toml").dist[0].tolist() == [-0.1, 0.05, 1e-3, -5e-4, 0.0]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_a_scale_has_to_be_positive(tmp_path: Path, scale: float) -> None:
    ring_rig(2).save(tmp_path / "a.toml")

    with pytest.raises(InvalidInputError, match="positive number of metres"):
        Rig.load(tmp_path / "a.toml", scale=scale)


def test_saving_replaces_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "rig.toml"
    ring_rig(2).save(target)
    ring_rig(3).save(target)
    assert len(Rig.load(target)) == 3

    with pytest.raises(CalibrationFileError, match="cannot be written"):
        ring_rig(2).save(tmp_path / "missing" / "rig.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CalibrationFileError, match="cannot be written"):
        ring_rig(2).save(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "rig.toml"]
