"""What is wrong with a rig is found, and nothing is found where nothing is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accel import Rig
from accel.inspection import inspect, overlap, summarise
from tests.support.rigs import looking_at, ring_rig


def changed(**changes: Any) -> Rig:
    """A sound rig of four cameras, some of it changed."""
    rig = ring_rig(4)
    fields = {
        name: getattr(rig, name).copy()
        for name in ("names", "K", "dist", "R", "t", "size")
        if name != "names"
    }
    return Rig(**{"names": rig.names, **fields, **changes})


def texts(rig: Rig, level: str) -> str:
    """What was found at this level."""
    return "; ".join(f"{f.camera}: {f.text}" for f in inspect(rig) if f.level == level)


def test_a_sound_rig_is_sound() -> None:
    assert inspect(ring_rig(4)) == []
    assert (overlap(ring_rig(4)) > 0.3).all()


def test_cameras_in_numbers() -> None:
    R, t = looking_at(
        np.array([[10.0, 0.0, 5.0], [0.0, -10.0, 2.0]]),
        np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]),
    )
    K = np.tile([[500.0, 0, 500], [0, 500.0, 500], [0, 0, 1]], (2, 1, 1))
    rig = Rig(["down", "up"], K, np.zeros((2, 5)), R, t, np.full((2, 2), 1001.0), [0.0, 8.0])
    down, up = summarise(rig)

    assert down.centre_m == pytest.approx((10, 0, 5))
    assert down.looks_at_m == pytest.approx((0, 0))
    assert down.heading_deg == pytest.approx(180)
    assert down.pitch_deg == pytest.approx(np.degrees(-np.arctan(0.5)))
    assert down.fov_deg == pytest.approx((2 * np.degrees(np.arctan(1.001)),) * 2, abs=0.1)
    assert (down.size_px, down.focal_px) == ((1001, 1001), (500.0, 500.0))
    assert up.looks_at_m is None
    assert up.heading_deg == pytest.approx(90)
    assert up.readout_ms == 8.0


def test_one_camera_alone() -> None:
    assert "one camera alone triangulates nothing" in texts(ring_rig(1), "error")


def test_cameras_in_one_place() -> None:
    rig = ring_rig(4)
    t = rig.t.copy()
    t[1] = -rig.R[1] @ rig.centers_m[0]
    assert "cam00: stands where cam01 stands" in texts(changed(t=t), "error")


def test_a_wrong_unit() -> None:
    assert "cameras span 3.98e+04 m" in texts(changed(t=1000 * ring_rig(4).t), "error")
    assert "right `scale`" in texts(changed(t=0.001 * ring_rig(4).t), "error")


def test_a_size_of_another_resolution() -> None:
    found = texts(changed(size=ring_rig(4).size / 2), "error")
    assert "principal point lies outside the picture" in found


def test_pixels_far_from_square() -> None:
    K = ring_rig(4).K.copy()
    K[2, 1, 1] *= 1.5
    assert "cam02: focal lengths 1400 and 2085 px" in texts(changed(K=K), "warning")


def test_a_distortion_that_ends_inside_the_picture() -> None:
    dist = np.zeros((4, 5))
    dist[1, 0] = -0.9
    assert "cam01: 55 %" in texts(changed(dist=dist), "error")
    assert "% of the picture has no ray" in texts(changed(dist=dist), "error")


def test_a_camera_that_looks_away() -> None:
    rig = ring_rig(4)
    R, t = rig.R.copy(), rig.t.copy()
    R[3] = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # Into the sky.
    t[3] = -rig.centers_m[3]
    assert "cam03: shares 0 % of its view" in texts(changed(R=R, t=t), "error")


def test_a_world_upside_down() -> None:
    rig = ring_rig(4)
    flip = np.diag([1.0, -1.0, -1.0])
    found = texts(changed(R=rig.R @ flip), "warning")
    assert "stands 6.00 m below the floor" in found
    assert "upside down" in found
