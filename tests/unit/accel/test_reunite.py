"""Identities over a time in which no camera gave a frame, as after a restart amid play."""

from __future__ import annotations

import numpy as np
import pytest

import accel
from bench.sim import Arena, FrameSet, preset
from tests.support.tracking import assert_same, feed

BEFORE = 240
SETTLED = 33
"""Frames after which everybody is told, by an identity of before or a new one."""
NEAR_M = 0.4


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena(preset("standard", cameras=8, people=13, frames=BEFORE + 240, seed=11))


@pytest.fixture(scope="module")
def frame_sets(arena: Arena) -> list[FrameSet]:
    return list(arena.frame_sets())


def people(arena: Arena, snapshot: accel.Snapshot) -> dict[int, int]:
    """True person to identity."""
    truth = arena.truth(snapshot.time_ns)[:, 11:13].mean(axis=1)
    found = {}
    for identity, joints in zip(snapshot.ids, snapshot.joints_m, strict=True):
        distance = np.linalg.norm(truth - joints[11:13].mean(axis=0), axis=1)
        if distance.min() < NEAR_M:
            found[int(distance.argmin())] = int(identity)
    return found


@pytest.mark.parametrize("gap", [20, 60, 150])
def test_people_keep_their_identities_over_a_blackout(
    arena: Arena, frame_sets: list[FrameSet], gap: int
) -> None:
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets[:BEFORE])
    before = people(arena, tracker.snapshot(frame_sets[BEFORE - 1].time_ns))
    assert len(before) == 13
    resumed = frame_sets[BEFORE + gap :]
    feed(tracker, resumed[:4])
    assert not len(tracker.snapshot(resumed[3].time_ns)), "told before it can be known"
    feed(tracker, resumed[4 : SETTLED + 1])
    after = people(arena, tracker.snapshot(resumed[SETTLED].time_ns))
    known = set(before.values())
    kept = [person for person, identity in after.items() if before[person] == identity]
    exchanged = [p for p, identity in after.items() if identity in known and p not in kept]
    assert len(after) == 13
    assert not exchanged
    assert len(kept) >= 11


def test_a_tracker_restored_within_a_blackout_goes_on_to_the_same_bits(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    rig = arena.accel_rig()
    resumed = frame_sets[BEFORE + 90 :][:28]
    whole = accel.Tracker(rig)
    feed(whole, frame_sets[:BEFORE])
    begun = whole.checkpoint()
    feed(whole, resumed)
    for stop in (0, 2, 5, 6, 7, 20):
        broken = accel.Tracker.restore(rig, begun)
        feed(broken, resumed[:stop])
        restored = accel.Tracker.restore(rig, broken.checkpoint())
        feed(restored, resumed[stop:])
        now = resumed[-1].time_ns
        assert_same(whole.snapshot(now), restored.snapshot(now))


def test_who_is_alone_lost_and_found_is_known_again_at_once(
    arena: Arena, frame_sets: list[FrameSet]
) -> None:
    """One person whom no camera shows for 40 frames, while all others are seen."""
    tracker = accel.Tracker(arena.accel_rig())
    feed(tracker, frame_sets[:BEFORE])
    before = people(arena, tracker.snapshot(frame_sets[BEFORE - 1].time_ns))
    for frame_set in frame_sets[BEFORE : BEFORE + 60]:
        hidden = frame_set.index < BEFORE + 40
        for view in frame_set.views:
            shown = view.keypoints[view.person != 5] if hidden else view.keypoints
            tracker.observe(view.camera, view.capture_time_ns, shown)
        if frame_set.index == BEFORE + 39:
            assert 5 not in people(arena, tracker.snapshot(frame_set.time_ns))
    last = frame_sets[BEFORE + 59].time_ns
    assert people(arena, tracker.snapshot(last))[5] == before[5]
