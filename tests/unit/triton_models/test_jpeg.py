"""A JPEG is looked at before anything decodes it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.figures import court_picture, encode_jpeg
from tipoff.errors import InvalidInputError
from triton_models.jpeg import check_jpeg

WHOLE = encode_jpeg(court_picture())
LIMIT = 1_000_000


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_is_as_stored(orientation: int) -> None:
    data = encode_jpeg(np.zeros((48, 80, 3), np.uint8), orientation)
    assert check_jpeg(data, LIMIT) == (80, 48)


def test_bytes_after_the_end_do_no_harm() -> None:
    assert check_jpeg(WHOLE + bytes(100), LIMIT) == (640, 384)


def test_more_pixels_than_may_be_decoded() -> None:
    assert check_jpeg(WHOLE, 640 * 384) == (640, 384)
    with pytest.raises(InvalidInputError, match="640x384 px, more than the 245759"):
        check_jpeg(WHOLE, 640 * 384 - 1)


@given(st.integers(0, len(WHOLE) - 2))
def test_every_cut_is_told_from_the_whole(length: int) -> None:
    with pytest.raises(InvalidInputError):
        check_jpeg(WHOLE[:length], LIMIT)


@given(st.binary(max_size=300))
def test_noise_is_refused_or_read_but_never_breaks(noise: bytes) -> None:
    for data in (noise, b"\xff\xd8" + noise):
        with contextlib.suppress(InvalidInputError):
            check_jpeg(data, LIMIT)
