"""suite=capture measures what real RTSP cameras took, part by part; the parts make the whole."""

from __future__ import annotations

import pytest

from bench.suites.capture import PARTS, measure, read_case
from tests.support.cameras import CamerasSpec
from tipoff.errors import InvalidInputError


def test_the_parts_make_the_whole() -> None:
    times, overtaken = measure(CamerasSpec(2), 2.0)
    assert 20 <= len(times.total) <= 64
    assert overtaken >= 0
    for row, total in enumerate(times.total):
        parts = [times.parts[part][row] for part in PARTS]
        assert sum(parts) == pytest.approx(total, abs=1e-6)
        assert min(parts) >= 0.0
        # libav waits for the next picture, a fifteenth of a second.
        assert times.parts["way"][row] > 55.0
        assert abs(times.clock[row]) < 20.0


def test_cases_are_read() -> None:
    spec = read_case("2x1280x720@30")
    assert (spec.cameras, spec.size, spec.rate) == (2, (1280, 720), 30)
    for wrong in ("2x3", "axbxc@d", "0x640x360@15", "1x320x200@15"):
        with pytest.raises(InvalidInputError):
            read_case(wrong)
