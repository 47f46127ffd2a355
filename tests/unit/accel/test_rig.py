"""What a Rig accepts, refuses and keeps, and that its projection is OpenCV's."""

from __future__ import annotations

import pickle
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import CalibrationError, InvalidInputError, Rig
from tests.support.rigs import random_cameras, ring_rig


def parts(rig: Rig, **changes: Any) -> dict[str, Any]:
    """The arguments that build this rig, some of them changed."""
    fields = {name: getattr(rig, name).copy() for name in ("K", "dist", "R", "t", "size")}
    return {"names": list(rig.names), **fields, **changes}


def test_what_is_given_is_kept_bit_by_bit() -> None:
    rig = ring_rig(4)
    again = Rig(**parts(rig), readout_ms=[0.0, 1.5, 8.0, 8.25])

    for field in ("K", "dist", "R", "t", "size"):
        assert np.array_equal(getattr(again, field), getattr(rig, field))
    assert again.names == rig.names
    assert again.readout_ms.tolist() == [0.0, 1.5, 8.0, 8.25]
    assert rig.readout_ms.tolist() == [0.0] * 4


def test_one_readout_serves_all_cameras() -> None:
    assert Rig(**parts(ring_rig(3)), readout_ms=8).readout_ms.tolist() == [8.0, 8.0, 8.0]


def test_a_rig_cannot_be_changed() -> None:
    given_K = ring_rig(2).K.copy()
    rig = Rig(**parts(ring_rig(2), K=given_K))
    given_K[0, 0, 0] = 1.0

    assert rig.K[0, 0, 0] == 1400.0
    with pytest.raises(ValueError, match="read-only"):
        rig.K[0, 0, 0] = 1.0
    with pytest.raises(AttributeError, match="immutable"):
        rig.names = ("a", "b")
    with pytest.raises(AttributeError, match="immutable"):
        del rig.K


def test_equal_rigs_have_equal_digests_and_hashes() -> None:
    rig, same = ring_rig(3), ring_rig(3)
    other = Rig(**parts(rig), readout_ms=1.0)

    assert rig == same
    assert rig.digest() == same.digest()
    assert len({rig, same, other}) == 2
    assert rig != other
    assert rig.digest() != other.digest()
    assert rig != "a rig"
    assert len(rig.digest()) == 64


def test_digest_is_the_same_on_every_machine() -> None:
    rig = Rig(["a"], [np.eye(3)], [[0.0] * 5], [np.eye(3)], [[0.0, -0.0, 1.0]], [[4, 3]])

    assert rig.digest() == ("09cd395a534fdf136ab8d5629eafde4e724af638c150649ee521d7ece374cb6f")


def test_pickle_gives_an_equal_rig_that_works() -> None:
    rig = ring_rig(3)
    again = pickle.loads(pickle.dumps(rig))

    assert again == rig
    assert np.array_equal(again.project([0.0, 0.0, 1.0]), rig.project([0.0, 0.0, 1.0]))


def test_repr_names_the_cameras() -> None:
    assert repr(ring_rig(2)).startswith("Rig(2 cameras: cam00, cam01; ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["cam00"]}, r"K has shape \(2, 3, 3\); 1 cameras need \(1, 3, 3\)"),
        ({"names": ["a", "a"]}, "names a occur twice"),
        ({"names": ["a", " "]}, "no camera name"),
        ({"names": ["a", "b\n"]}, "no camera name"),
        ({"names": ["a", 2]}, "no camera name"),
        ({"names": "ab"}, "list of names"),
        ({"names": []}, "no camera"),
        ({"K": "x"}, "K is no array"),
        ({"dist": np.zeros((2, 4))}, "dist has shape"),
        ({"dist": np.full((2, 5), np.nan)}, "camera 'cam00': dist holds NaN"),
        ({"t": [[0, 0, 0], [0, 0, np.inf]]}, "camera 'cam01': t holds NaN or infinity"),
        ({"K": np.tile(np.diag([1.0, 1.0, 2.0]), (2, 1, 1))}, "camera 'cam00': K is not"),
        ({"K": np.tile(np.diag([-1.0, 1.0, 1.0]), (2, 1, 1))}, "focal length"),
        ({"R": np.tile(np.diag([1.0, 1.0, 1.01]), (2, 1, 1))}, "no rotation"),
        ({"R": np.tile(np.diag([1.0, 1.0, -1.0]), (2, 1, 1))}, "reflection"),
        ({"R": np.zeros((2, 3, 3))}, "no rotation"),
        ({"size": [[0, 1080], [1920, 1080]]}, "camera 'cam00': size is 0 x 1080"),
        ({"size": [[1920, 1080.5], [1920, 1080]]}, "whole pixels"),
        ({"readout_ms": -1.0}, "outside 0..1000"),
        ({"readout_ms": [1.0, 2.0, 3.0]}, "readout_ms has shape"),
        ({"readout_ms": np.nan}, "readout_ms holds NaN"),
    ],
)
def test_what_no_camera_has_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        Rig(**parts(ring_rig(2), **changes))


def test_rotations_rounded_by_a_file_become_rotations() -> None:
    exact = ring_rig(3)
    rounded = Rig(**parts(exact, R=np.round(exact.R, 4)))

    deviation = rounded.R @ rounded.R.transpose(0, 2, 1) - np.eye(3)
    assert np.abs(deviation).max() < 1e-15 * 10
    assert np.abs(rounded.R - exact.R).max() < 1e-4


def test_projection_and_undistortion_are_those_of_opencv() -> None:
    rng = np.random.default_rng(5)
    stack = random_cameras(rng, 20, 4)
    for scene in range(20):
        rig = stack.rig(scene)
        points = rng.uniform(-1.5, 1.5, (50, 3))
        uv = rig.project(points)
        for c in range(4):
            rodrigues = cv2.Rodrigues(rig.R[c])[0]
            K = rig.K[c].copy()
            K[0, 1] = 0.0  # OpenCV drops the skew.
            expected, _ = cv2.projectPoints(points, rodrigues, rig.t[c], K, rig.dist[c])
            xy = rig.undistort(uv[:, c], c)
            seen = np.isfinite(uv[:, c, 0])
            skew = rig.K[c, 0, 1] * (uv[:, c, 1] - K[1, 2]) / K[1, 1]
            assert np.abs(uv[:, c, 0] - skew - expected[:, 0, 0])[seen].max() < 1e-8
            assert np.abs(uv[:, c, 1] - expected[:, 0, 1])[seen].max() < 1e-8
            local = points @ rig.R[c].T + rig.t[c]
            assert np.abs(xy - local[:, :2] / local[:, 2:])[seen].max() < 1e-10


def test_undistortion_equals_opencv_inside_the_picture() -> None:
    rig = ring_rig(2)
    rng = np.random.default_rng(6)
    uv = rng.uniform([0, 0], [1919, 1079], (500, 2))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 500, 1e-14)
    expected = cv2.undistortPoints(uv[:, None], rig.K[1], rig.dist[1], criteria=criteria)

    assert np.abs(rig.undistort(uv, "cam01") - expected[:, 0]).max() < 1e-9


def test_no_image_behind_a_camera_nor_beyond_its_distortion() -> None:
    eye = np.eye(3)
    K = np.array([[1000.0, 0.0, 500.0], [0.0, 1000.0, 500.0], [0.0, 0.0, 1.0]])
    rig = Rig(["a"], [K], [[-0.3, 0, 0, 0, 0]], [eye], [[0.0, 0, 0]], [[1000, 1000]])
    limit = float(rig.domain_radius[0])

    assert limit == pytest.approx(np.sqrt(1 / 0.9), rel=1e-12)
    points = np.array(
        [[0, 0, 1], [0, 0, -1], [0, 0, 0], [0.99 * limit, 0, 1], [1.01 * limit, 0, 1]]
    )
    finite = np.isfinite(rig.project(points)).all(axis=(1, 2))
    assert finite.tolist() == [True, False, False, True, False]
    # The largest image radius is limit (1 - 0.3 limit^2) = 0.703; no ray lies beyond it.
    xy = rig.undistort(np.array([[500 + 700, 500], [500 + 705, 500], [np.nan, 0]]), 0)
    assert np.isfinite(xy).all(axis=1).tolist() == [True, False, False]


def test_project_and_undistort_keep_leading_axes() -> None:
    rig = ring_rig(3)

    assert rig.project(np.zeros((4, 5, 3))).shape == (4, 5, 3, 2)
    assert rig.project(np.zeros(3)).shape == (3, 2)
    assert rig.project(np.zeros((0, 3))).shape == (0, 3, 2)
    assert rig.undistort(np.zeros((4, 5, 2)), 0).shape == (4, 5, 2)
    assert rig.undistort(np.zeros((2,), np.float32), 0).shape == (2,)


def test_wrong_shapes_and_cameras_are_refused() -> None:
    rig = ring_rig(2)

    with pytest.raises(InvalidInputError, match=r"give \(\.\.\., 3\) in metres"):
        rig.project([1.0, 2.0])
    with pytest.raises(InvalidInputError, match="points_m is no array"):
        rig.project("x")
    with pytest.raises(InvalidInputError, match="in pixels"):
        rig.undistort([1.0], 0)
    for camera in (2, -1, "cam02", 0.5, None):
        with pytest.raises(InvalidInputError, match="the rig has cam00, cam01"):
            rig.undistort([1.0, 2.0], camera)  # type: ignore[arg-type]


def test_cameras_are_found_by_index_and_name() -> None:
    rig = ring_rig(3)

    assert rig.index("cam02") == rig.index(2) == rig.index(np.int64(2)) == 2
    assert rig.subset(["cam02", "cam00"]).names == ("cam02", "cam00")
    assert np.array_equal(rig.subset(["cam02", "cam00"]).t, rig.t[[2, 0]])
    assert len(rig) == 3
    assert np.allclose(rig.centers_m[:, 2], 6.0)


@settings(max_examples=200, deadline=None)
@given(
    u=st.floats(-3000, 5000),
    v=st.floats(-3000, 4000),
    k1=st.floats(-0.5, 0.5),
    k2=st.floats(-0.5, 0.5),
    k3=st.floats(-0.5, 0.5),
    p1=st.floats(-0.01, 0.01),
)
def test_a_pixel_has_no_ray_or_comes_back_from_it(
    u: float, v: float, k1: float, k2: float, k3: float, p1: float
) -> None:
    rig = Rig(**parts(ring_rig(1), dist=[[k1, k2, p1, 0.0, k3]]))
    xy = rig.undistort([u, v], 0)
    if np.isfinite(xy).all():
        point = rig.R[0].T @ (7.0 * np.array([*xy, 1.0]) - rig.t[0])
        assert np.abs(rig.project(point)[0] - [u, v]).max() < 1e-6
