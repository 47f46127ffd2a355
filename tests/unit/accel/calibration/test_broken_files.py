"""Broken files end in a CalibrationFileError that says where and what to do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import CalibrationFileError, Rig
from tests.support.calibrations import (
    pose2sim_toml,
    qualisys_text,
    write_colmap,
    write_opencv_pair,
)
from tests.support.rigs import ring_rig

MUTANTS = 400


def refusal(path: Path, scale: float | None = 1.0) -> CalibrationFileError:
    """The error that loading ends with."""
    with pytest.raises(CalibrationFileError) as caught:
        Rig.load(path, scale)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size = [ 1920.0, 1080.0]\n", ""), "camera 'cam00', field 'size': is missing"),
        (("size = [ 1920.0", "size = [ 0.0"), "field 'size': is 0 x 1080 px"),
        (("size = [ 1920.0", "size = [ 1e300"), "field 'size'"),
        (("matrix = [[1400.0", "matrix = [[nan"), "field 'matrix': is nan, not a finite number"),
        (("matrix = [[1400.0", "matrix = [[-1400.0"), "'cam00': K has a focal length"),
        (("matrix = [[1400.0", 'matrix = [["x"'), "field 'matrix': is 'x', not a finite"),
        (("matrix = [[1400.0, ", "matrix = [["), "field 'matrix': has 8 numbers, not 9"),
        (("matrix = [[1400.0", "matrix = [[[1400.0]"), "field 'matrix': is .1400.0., not a"),
        (("matrix = [[1400.0", "matrix = [[true"), "field 'matrix': is True"),
        (("translation = [", "translation = [inf, "), "field 'translation': is inf"),
        (("rotation = [", "rotation = 3 # ["), "field 'rotation': is 3, not a list"),
        (('name = "cam01"', 'name = "cam00"'), "names cam00 occur twice"),
        (('name = "cam00"', "name = 5"), "field 'name': is no string"),
        (('name = "cam00"', 'name = ""'), "no camera name"),
        (("fisheye = false", "fisheye = 0"), "is a fisheye"),
        (("[metadata]", "extra = 5\n[metadata]\n[[list]]\n[meta]"), "is no table"),
        (("[cam00]", "[cam00"), "is not valid TOML"),
        (("[cam00]", "a = " + "[" * 100000 + "\n[cam00]"), "TOML"),
        (("[cam00]", "a = " + "9" * 10000 + "\n[cam00]"), "TOML"),
    ],
)
def test_toml_errors_say_where(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = pose2sim_toml(ring_rig(2))
    assert change[0] in text
    (tmp_path / "a.toml").write_text(text.replace(*change, 1))

    refusal(tmp_path / "a.toml").args[0]
    with pytest.raises(CalibrationFileError, match=message):
        Rig.load(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('x="', 'x="a'), "camera 'cam00', field 'transform.x'"),
        (('r11="', 'q11="'), "field 'transform.r11': is missing"),
        (('focalLengthU="', 'focalLengthU="nan" f="'), "field 'intrinsic.focalLengthU': is 'nan'"),
        (("<fov_video", "<fov_none"), "field 'fov_video.left': is missing"),
        (('right="1922"', 'right="0"'), "field 'fov_video': is -2 x 1080 px"),
        (('serial="cam00"', ""), "field 'serial'|a camera has no name"),
        (("</cameras>", ""), "not well-formed XML"),
        (("<calibration>", "<!DOCTYPE x [<!ENTITY a 'b'>]><calibration>"), "has a DOCTYPE"),
        (("encoding='ASCII'", "encoding='x-none'"), "not well-formed XML"),
        (("calibration>", "other>"), "XML of <other>|not well-formed"),
        (("Miqus", "Miq\x00us"), "not well-formed XML"),
    ],
)
def test_qualisys_errors_say_where(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = qualisys_text(ring_rig(2))
    assert change[0] in text
    (tmp_path / "a.txt").write_text(text.replace(*change, 1))

    with pytest.raises(CalibrationFileError, match=message):
        Rig.load(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("intri.yml", ("K_cam00", "J_cam00"), "field 'K_cam00': is missing"),
        ("intri.yml", ("dist_cam00", "list_cam00"), "field 'D_cam00': is missing"),
        ("intri.yml", ("rows: 3", "rows: 2"), "has 9 numbers for 2 x 3"),
        ("intri.yml", ("1400.", ".Nan"), "field 'K_cam00': is '.Nan', not a finite"),
        ("intri.yml", ("names", "games"), "field 'names': is missing"),
        ("intri.yml", ("W_cam00", "V_cam00"), "field 'W_cam00': is missing"),
        ("extri.yml", ("T_cam00", "S_cam00"), "field 'T_cam00': is missing"),
        ("extri.yml", ("cam01", "cam09"), "two files of one calibration"),
        ("extri.yml", ("---", "---\nnothing here"), "line 3 is no `key: value`"),
    ],
)
def test_opencv_errors_say_where(
    tmp_path: Path, file: str, change: tuple[str, str], message: str
) -> None:
    write_opencv_pair(ring_rig(2), tmp_path)
    text = (tmp_path / file).read_text()
    assert change[0] in text
    (tmp_path / file).write_text(text.replace(*change, 1))

    with pytest.raises(CalibrationFileError, match=message):
        Rig.load(tmp_path / file)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("cameras.txt", ("OPENCV 1920 1080 ", "OPENCV 1920 1080 5 "), "has 9 parameters"),
        ("cameras.txt", ("OPENCV 1920", "OPENCV 0"), "is 0 x 1080 px"),
        ("cameras.txt", ("\n2 OPENCV", "\nnot a camera"), "is no camera"),
        ("cameras.txt", ("\n2 OPENCV", "\n3 OPENCV"), "'cam01'.*camera 2, which cameras.txt lacks"),
        ("images.txt", ("1 cam00.png", "1"), "no image|lacks its other file"),
        ("images.txt", ("\n2 ", "\n2 nan nan nan nan 0 0 0 2 cam05.png\n\n2 "), "QW QX QY QZ"),
        ("images.txt", ("\n2 ", "\n2 0 0 0 0 0 0 0 2 cam05.png\n\n2 "), "no unit quaternion"),
    ],
)
def test_colmap_errors_say_where(
    tmp_path: Path, file: str, change: tuple[str, str], message: str
) -> None:
    write_colmap(ring_rig(2), tmp_path, 1.0)
    text = (tmp_path / file).read_text()
    assert change[0] in text
    (tmp_path / file).write_text(text.replace(*change, 1))

    with pytest.raises(CalibrationFileError, match=message):
        Rig.load(tmp_path / "cameras.txt", 1.0)


def test_what_is_no_calibration_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "prose.txt").write_text("Dear all, the cameras are fine.\n")
    (tmp_path / "other.toml").write_text("[tool]\nname = 'x'\n")
    (tmp_path / "binary").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "utf16.toml").write_bytes(pose2sim_toml(ring_rig(2)).encode("utf-16"))
    (tmp_path / "latin1.toml").write_bytes("[cam]\nname = 'ä'\nmatrix = 1".encode("latin-1"))
    (tmp_path / "nul.toml").write_bytes(b"[cam]\nmatrix = 1\x00")

    assert "is no calibration that is known here (anipose TOML" in str(refusal(tmp_path / "empty"))
    assert "is no calibration" in str(refusal(tmp_path / "prose.txt"))
    assert "is no calibration" in str(refusal(tmp_path / "other.toml"))
    assert "UTF-8" in str(refusal(tmp_path / "binary"))
    assert "UTF-8" in str(refusal(tmp_path / "utf16.toml"))
    assert "save it as UTF-8" in str(refusal(tmp_path / "latin1.toml"))
    assert "binary" in str(refusal(tmp_path / "nul.toml"))
    missing = tmp_path / "missing.toml"
    assert str(refusal(missing)) == (f"{missing}: does not exist; give the path of a calibration")
    assert "is no regular file" in str(refusal(Path("/dev/null")))
    assert "does not exist" in str(refusal(tmp_path / "nul\0.toml"))


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    rig = ring_rig(2)
    text = pose2sim_toml(rig).replace("\n", "\r\n")
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Rig.load(tmp_path / "a.toml").names == rig.names
    write_colmap(rig, tmp_path, 1.0)
    for name in ("cameras.txt", "images.txt"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Rig.load(tmp_path / "images.txt", 1.0).names == rig.names


def test_folders_hold_exactly_one_calibration(tmp_path: Path) -> None:
    assert "holds no calibration" in str(refusal(tmp_path))
    (tmp_path / "cameras.bin").write_bytes(b"\x01\x00")
    assert "model_converter" in str(refusal(tmp_path))
    ring_rig(2).save(tmp_path / "a.toml")
    (tmp_path / "notes.txt").write_text("x = yes, but no TOML\n")
    assert Rig.load(tmp_path).names == ("cam00", "cam01")
    ring_rig(2).save(tmp_path / "b.toml")
    assert "holds several calibrations (a.toml, b.toml)" in str(refusal(tmp_path))


def test_half_a_pair_asks_for_the_other_half(tmp_path: Path) -> None:
    write_opencv_pair(ring_rig(2), tmp_path)
    (tmp_path / "extri.yml").unlink()
    assert "lacks its other file, the extrinsics of OpenCV YAML" in str(refusal(tmp_path))
    assert "lacks its other file" in str(refusal(tmp_path / "intri.yml"))
    write_colmap(ring_rig(2), tmp_path, 1.0)
    (tmp_path / "cameras.txt").unlink()
    assert "the intrinsics of COLMAP text" in str(refusal(tmp_path / "images.txt"))


def test_files_too_large_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.toml").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    assert "more than 16 MiB" in str(refusal(tmp_path / "big.toml"))


def test_errors_carry_what_a_program_needs(tmp_path: Path) -> None:
    text = pose2sim_toml(ring_rig(2)).replace("[[1400.0", "[[nan")
    (tmp_path / "a.toml").write_text(text)
    assert refusal(tmp_path / "a.toml").ids == {
        "path": str(tmp_path / "a.toml"),
        "camera": "cam00",
        "field": "matrix",
    }


def opencv_both(rig: Rig, folder: Path) -> list[Path]:
    """The pair's paths."""
    write_opencv_pair(rig, folder)
    return [folder / "intri.yml", folder / "extri.yml"]


def colmap_both(rig: Rig, folder: Path) -> list[Path]:
    """The pair's paths."""
    write_colmap(rig, folder, 1.0)
    return [folder / "cameras.txt", folder / "images.txt"]


def toml_one(rig: Rig, folder: Path) -> list[Path]:
    """The file's path."""
    (folder / "a.toml").write_text(pose2sim_toml(rig))
    return [folder / "a.toml"]


def saved(rig: Rig, folder: Path) -> list[Path]:
    """The file's path."""
    rig.save(folder / "a.toml")
    return [folder / "a.toml"]


def qualisys_one(rig: Rig, folder: Path) -> list[Path]:
    """The file's path."""
    (folder / "a.qca.txt").write_text(qualisys_text(rig))
    return [folder / "a.qca.txt"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut off, cut out, doubled, flipped or overwritten somewhere."""
    at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    small = slice(at, min(end, at + rng.randrange(1, 40)))
    token = rng.choice(
        [
            b"nan",
            b"inf",
            b"-",
            b"[",
            b"]",
            b'"',
            b"<",
            b"0",
            b"1e999",
            b"9e200",
            b"1e308",
            b"\xff",
            b"\n",
        ]
    )
    return rng.choice(
        [
            data[:at],
            data[: small.start] + data[small.stop :],
            data[:end] + data[small] + data[end:],
            data[: small.start] + token + data[small.stop :],
            data[:at] + token + data[at:],
        ]
    )


@pytest.mark.parametrize(
    "write", [toml_one, saved, qualisys_one, opencv_both, colmap_both], ids=lambda f: f.__name__
)
def test_mutants_load_or_are_refused(
    tmp_path: Path, write: Callable[[Rig, Path], list[Path]]
) -> None:
    rng = random.Random(20)
    paths = write(ring_rig(2), tmp_path)
    originals = [path.read_bytes() for path in paths]
    outcomes = set()
    for _ in range(MUTANTS):
        victim = rng.randrange(len(paths))
        paths[victim].write_bytes(mutated(originals[victim], rng))
        outcomes.add(_loads(paths[0]))
        paths[victim].write_bytes(originals[victim])

    assert outcomes == {True, False}


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_noise_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "noise").write_bytes(data)
    assert not _loads(tmp_path / "noise")


def _loads(path: Path) -> bool:
    try:
        rig = Rig.load(path, 1.0)
    except CalibrationFileError:
        return False
    return bool(np.isfinite(rig.K).all())
