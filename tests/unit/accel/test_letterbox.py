"""A place in the source and its place in the input lead to each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.decode import crop_resize
from accel.letterbox import MOVENET_SHIFT_PX, Placement, crop, letterbox
from tipoff.errors import InvalidInputError

lengths = st.integers(1, 5000)


@given(lengths, lengths, st.sampled_from([(512, 288), (320, 512), (256, 256)]))
def test_a_letterboxed_frame_fits_and_touches(
    width: int, height: int, size: tuple[int, int]
) -> None:
    placement = letterbox((width, height), size)
    assert 1 <= placement.width_px <= size[0]
    assert 1 <= placement.height_px <= size[1]
    assert placement.width_px == size[0] or placement.height_px == size[1]


@given(
    st.tuples(*[st.floats(-1e3, 1e3)] * 2),
    st.floats(1, 2000),
    st.floats(1, 2000),
    st.floats(-1, 1),
)
def test_there_and_back_is_the_same(
    point: tuple[float, float], width: float, height: float, shift: float
) -> None:
    placement = Placement((10.0, -20.0, 10.0 + width, height - 20.0), 256, 192)
    back = placement.to_source(placement.to_input(point, shift), shift)
    np.testing.assert_allclose(back, point, atol=1e-6)


def test_a_pixel_is_found_where_it_was_drawn() -> None:
    """One bright pixel, enlarged: the centre of its blob leads back to it."""
    frame = np.zeros((60, 80, 3), np.uint8)
    frame[33, 41] = 255
    placement = crop((30, 25, 50, 45), (128, 128), expand=1.0)
    blob = crop_resize(frame, placement.region, 128, 128)[..., 0].astype(np.float64)
    rows, columns = np.mgrid[:128, :128]
    middle = [(blob * axis).sum() / blob.sum() for axis in (columns, rows)]
    np.testing.assert_allclose(placement.to_source(middle, shift_px=0.5), (41, 33), atol=1e-3)


def test_a_region_is_cut_to_the_frame_and_to_whole_pixels() -> None:
    placement = letterbox((640, 480), (320, 256), (100.5, -50.0, 300.2, 200.9))
    np.testing.assert_array_equal(placement.region, (100, 0, 301, 201))
    assert (placement.width_px, placement.height_px) == (256, 256)
    assert placement.scale == pytest.approx((256 / 201, 256 / 201))


def test_boxes_come_back_to_the_source() -> None:
    placement = Placement((100.0, 50.0, 300.0, 150.0), 400, 200)
    boxes = placement.boxes_to_source([[0, 0, 400, 200], [200, 100, 202, 104]])
    np.testing.assert_allclose(boxes, [[100, 50, 300, 150], [200, 100, 201, 102]])
    assert placement.boxes_to_source(np.empty((0, 4))).shape == (0, 4)


def test_missing_points_stay_missing() -> None:
    placement = letterbox((640, 480), (320, 256))
    assert np.isnan(placement.to_source([[np.nan, np.nan]])).all()


@given(st.floats(1, 500), st.floats(1, 500), st.sampled_from([(256, 256), (192, 256)]))
def test_a_crop_holds_its_box_and_has_the_aspect_of_its_input(
    width: float, height: float, size: tuple[int, int]
) -> None:
    x0, y0, x1, y1 = crop((20, 30, 20 + width, 30 + height), size).region
    assert (x1 - x0) / (y1 - y0) == pytest.approx(size[0] / size[1])
    assert x1 - x0 >= 1.25 * width * (1 - 1e-9)
    assert y1 - y0 >= 1.25 * height * (1 - 1e-9)
    np.testing.assert_allclose(((x0 + x1) / 2, (y0 + y1) / 2), (20 + width / 2, 30 + height / 2))


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 5), (5, 0, 0, 5), (np.nan, 0, 1, 1), (0, 0, np.inf, 1), (0, 0, 1e9, 1)]
)
def test_an_impossible_box_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="box is"):
        crop(box, (256, 256))


@pytest.mark.parametrize("region", [(np.nan, 0, 1, 1), (0, 0, 1), (700, 0, 800, 10), (5, 5, 5, 5)])
def test_an_impossible_region_is_refused(region: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="region"):
        letterbox((640, 480), (320, 256), region)


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (100_000, 10)])
def test_an_impossible_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="each side"):
        letterbox(size, (320, 256))


def test_the_default_shift_is_movenets() -> None:
    placement = Placement((0.0, 0.0, 100.0, 100.0), 200, 200)
    np.testing.assert_allclose(placement.to_source([0.0, 0.0]), MOVENET_SHIFT_PX / 2 - 0.5)
