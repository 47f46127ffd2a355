"""Crops are what the oracle's dense filter gives, inside, beyond and across the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accel import decode, decode_reference
from tipoff.errors import InvalidInputError

TOLERANCE = 1e-3
"""In grey levels: sums of float32 against float64."""

Region = tuple[float, float, float, float]
corners = st.floats(-80, 80)
sides = st.floats(0.05, 150)


def _frame(height: int = 40, width: int = 50, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=200, deadline=None)
@given(corners, corners, sides, sides, st.integers(1, 33), st.integers(1, 33))
def test_a_crop_is_that_of_the_oracle(
    x0: float, y0: float, width: float, height: float, rows: int, columns: int
) -> None:
    region = (x0, y0, x0 + width, y0 + height)
    found = decode.crop_resize(_frame(), region, rows, columns)
    expected = decode_reference.crop_resize(_frame(), region, rows, columns)
    assert found.shape == (rows, columns, 3)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_the_whole_frame_at_its_own_size_is_itself() -> None:
    frame = _frame()
    np.testing.assert_array_equal(decode.crop_resize(frame, (0, 0, 50, 40), 40, 50), frame)


def test_half_the_size_of_a_flat_picture_is_flat() -> None:
    frame = np.full((64, 64, 3), 200, np.uint8)
    small = decode.crop_resize(frame, (8, 8, 56, 56), 12, 12)
    np.testing.assert_allclose(small, 200, atol=TOLERANCE)
    whole = decode.crop_resize(frame, (0, 0, 64, 64), 12, 12)
    np.testing.assert_allclose(whole, 200, atol=TOLERANCE)


def test_enlarging_agrees_with_opencv_inside_the_frame() -> None:
    frame = _frame()
    x0, y0, side, out = 10.0, 8.0, 20.0, 64
    scale = out / side
    shift = [-x0 * scale + 0.5 * scale - 0.5, -y0 * scale + 0.5 * scale - 0.5]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    theirs = cv2.warpAffine(frame.astype(np.float32), matrix, (out, out), flags=cv2.INTER_LINEAR)
    mine = decode.crop_resize(frame, (x0, y0, x0 + side, y0 + side), out, out)
    # OpenCV places its samples on a grid of 1/32 pixel.
    assert np.abs(mine - theirs).max() < 255 * 2 / 32


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = decode.crop_resize(stripes, (0, 0, 64, 64), 16, 16)
    np.testing.assert_allclose(small, 127.5, atol=10.0)


def test_what_lies_beyond_the_frame_is_black() -> None:
    frame = np.full((10, 10, 3), 255, np.uint8)
    crop = decode.crop_resize(frame, (-10, 0, 10, 10), 10, 20)
    np.testing.assert_array_equal(crop[:, :10], 0)
    np.testing.assert_array_equal(crop[:, 10:], 255)
    assert not decode.crop_resize(frame, (1000, 1000, 1010, 1010), 4, 4).any()


def test_it_writes_into_a_batch() -> None:
    batch = np.full((2, 8, 9, 3), -1, np.float32)
    result = decode.crop_resize(_frame(), (0, 0, 20, 20), 8, 9, batch[1])
    assert np.shares_memory(result, batch)
    assert (batch[0] == -1).all()
    assert (batch[1] >= 0).all()


@pytest.mark.parametrize("view", ["mirrored", "strided", "read-only", "rows"])
def test_frames_may_be_views(view: str) -> None:
    frame = {
        "mirrored": _frame()[:, ::-1],
        "strided": _frame(80, 100)[::2, ::2],
        "rows": _frame(80, 50)[::-2],
        "read-only": _frame(),
    }[view]
    frame.flags.writeable = False
    region = (3.0, 4.0, 30.0, 35.5)
    expected = decode_reference.crop_resize(np.ascontiguousarray(frame), region, 16, 12)
    np.testing.assert_allclose(decode.crop_resize(frame, region, 16, 12), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 0, 10),
        (10, 0, 0, 10),
        (np.nan, 0, 10, 10),
        (0, 0, np.inf, 10),
        (0, -np.inf, 10, 10),
        (0, 0, 1e6, 10),
        (1e12, 0, 1e12 + 10, 10),
    ],
)
def test_an_impossible_region_is_refused(region: Region) -> None:
    with pytest.raises(InvalidInputError, match="region is"):
        decode.crop_resize(_frame(), region, 8, 8)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        None,
    ],
)
def test_something_else_is_no_frame(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidInputError, match="a frame is uint8"):
        decode.crop_resize(frame, (0, 0, 4, 4), 8, 8)


@pytest.mark.parametrize("size", [(0, 8), (8, -1), (1 << 20, 8)])
def test_an_impossible_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="cannot be made"):
        decode.crop_resize(_frame(), (0, 0, 4, 4), *size)


def test_an_output_of_another_shape_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="out is"):
        decode.crop_resize(_frame(), (0, 0, 4, 4), 8, 8, np.zeros((8, 9, 3), np.float32))
