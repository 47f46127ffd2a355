"""People as boxes a few times a second: the simulated room, and that nobody is mistaken in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import accel
from accel import _core
from bench.arrays import Floats
from bench.cmc_data import box_skeleton, boxes_to_points, decompose
from bench.sim.boxes import SIZE, BoxRoomOptions, cameras, play
from bench.suites.cmc import box_tracker, centroid

NEAR_M = 0.5
WARM_UP = 8


def rig(matrices: Floats) -> accel.Rig:
    parts = [decompose(p) for p in matrices]
    K, R, t = (np.stack([part[i] for part in parts]) for i in range(3))
    size = np.tile(np.array(SIZE, dtype=np.int64), (len(parts), 1))
    names = tuple(f"cam{c}" for c in range(len(parts)))
    return accel.Rig(names, K, np.zeros((len(parts), 5)), R, t, size)


def follow(options: BoxRoomOptions) -> tuple[int, int, int]:
    """How often somebody changed identity, was missed, and was told who is nobody."""
    matrices = cameras(options)
    tracker = box_tracker(rig(matrices))
    known: dict[int, int] = {}
    switches = misses = false = 0
    for number, frame in enumerate(play(options)):
        for camera, (boxes, matrix) in enumerate(zip(frame.boxes, matrices, strict=True)):
            tracker.observe(camera, frame.time_ns, boxes_to_points(boxes, matrix))
        found = tracker.snapshot(frame.time_ns)
        if number < WARM_UP:
            continue
        places = np.array([centroid(j)[:2] for j in found.joints_m]).reshape(-1, 2)
        distance = np.linalg.norm(frame.places_m[:, None] - places[None], axis=2)
        people, tracks = linear_sum_assignment(np.minimum(distance, 2 * NEAR_M))
        held = distance[people, tracks] < NEAR_M
        misses += options.people - int(held.sum())
        false += len(places) - int(held.sum())
        for person, track in zip(people[held], tracks[held], strict=True):
            identity = int(found.ids[track])
            switches += known.setdefault(int(person), identity) != identity
            known[int(person)] = identity
    return switches, misses, false


@pytest.mark.parametrize("seed", [1, 2, 4, 5, 6])
def test_nobody_is_mistaken_for_another(seed: int) -> None:
    options = BoxRoomOptions(seed=seed)
    switches, misses, false = follow(options)
    told = options.people * (options.frames - WARM_UP)
    assert switches == 0
    assert misses <= 0.01 * told
    assert false <= 0.01 * told


def test_every_instruction_set_tells_the_same() -> None:
    options = BoxRoomOptions(frames=60, seed=2)
    matrices = cameras(options)
    told: list[list[bytes]] = []
    for isa in _core.instruction_sets():
        tracker = accel.Tracker(
            rig(matrices), accel.TrackerOptions(skeleton=box_skeleton(), isa=isa)
        )
        told.append([])
        for frame in play(options):
            for camera, (boxes, matrix) in enumerate(zip(frame.boxes, matrices, strict=True)):
                tracker.observe(camera, frame.time_ns, boxes_to_points(boxes, matrix))
            told[-1].append(tracker.snapshot(frame.time_ns).joints_m.tobytes())
    assert all(one == told[0] for one in told)


def test_the_same_options_give_the_same_room() -> None:
    options = BoxRoomOptions(frames=5, seed=4)
    for one, other in zip(play(options), play(options), strict=True):
        np.testing.assert_array_equal(one.places_m, other.places_m)
        for a, b in zip(one.boxes, other.boxes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_people_keep_apart_and_move_as_fast_as_they_should() -> None:
    options = BoxRoomOptions(frames=60)
    places = np.array([frame.places_m for frame in play(options)])
    gap = np.linalg.norm(places[:, :, None] - places[:, None], axis=3)
    gap[:, np.arange(options.people), np.arange(options.people)] = np.inf
    assert gap[1:].min() > 0.75 * options.apart_m
    speed = np.linalg.norm(np.diff(places, axis=0), axis=2) * options.fps
    assert 0.5 * options.speed_mps < np.median(speed) < 1.3 * options.speed_mps
