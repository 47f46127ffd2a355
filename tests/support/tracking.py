"""What tests of the tracker share: feeding simulated frame-sets, and equality to the bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import accel
from bench.sim import FrameSet


def feed(tracker: accel.Tracker, frame_sets: Iterable[FrameSet]) -> None:
    """Observe every view; none may be refused."""
    for frame_set in frame_sets:
        for view in frame_set.views:
            assert tracker.observe(view.camera, view.capture_time_ns, view.keypoints)


def assert_same(a: accel.Snapshot, b: accel.Snapshot) -> None:
    """Equal to the bit, NaN where the other has NaN."""
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.joints_m, b.joints_m)
    np.testing.assert_array_equal(a.covariance_m2, b.covariance_m2)
    np.testing.assert_array_equal(a.confidence, b.confidence)
    np.testing.assert_array_equal(a.views, b.views)
