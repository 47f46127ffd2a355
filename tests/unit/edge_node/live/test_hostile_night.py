"""The live loop on nights when everything happens to the cameras, at random and all at once.

`TIPOFF_NIGHTS=2000 pytest tests/unit/edge_node/live/test_hostile_night.py` plays more of them.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from accel import Rig, Tracker
from edge_node.frames import CameraFrame, ObservedFrame
from edge_node.inference import Task
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Observed, Snapped
from edge_node.perception import Frame
from edge_node.pictures import ArrayPicture
from tests.support.live import NOBODY, PlayedNode
from tests.support.pipelines import IMAGE, PERIOD_NS, WalkerInference, Walkers
from tests.support.rigs import ring_rig

NIGHTS = int(os.environ.get("TIPOFF_NIGHTS", "40"))
BEATS = 120
MS = 1_000_000
BEGAN_NS = 1_700_000_000_000_000_000
SHIFTS_NS = (0, 0, 0, 20 * MS, -40 * MS, 120 * MS, -300 * MS, 2_000 * MS, -3_600_000 * MS)
"""How far a camera's clock may be off."""
STEPS_NS = (PERIOD_NS,) * 40 + (0, 1 * MS, 90 * MS, 400 * MS, 6_000 * MS)
"""How long the loop may take until it looks again."""
ODD_IMAGE = ArrayPicture(np.zeros((100, 100, 3), np.uint8))
"""A picture that no camera of the rig can have made."""
NOT_IN_A_ROUND = ("unusable", "clock_apart", "rate_lowered")


@dataclass(slots=True)
class Fate:
    """What one camera is like for a while."""

    every: int = 1
    shift_ns: int = 0
    late_ns: int = 0
    kind: str = "well"
    beats: int = 0


def fate(dice: random.Random) -> Fate:
    """Give a camera another one."""
    return Fate(
        every=dice.choice((1, 1, 1, 2, 3)),
        shift_ns=dice.choice(SHIFTS_NS),
        late_ns=dice.choice((0, 0, 5, 30, 150)) * MS,
        kind=dice.choice(("well",) * 6 + ("silent", "unusable", "nobody", "nan", "twice", "still")),
        beats=dice.randrange(1, 40),
    )


class StrangeInference(WalkerInference):
    """Models that find nobody, a crowd, whom nobody knows, or what is no number."""

    def _answer(self, frame: CameraFrame, task: Task) -> NDArray[np.float32]:
        seen = super()._answer(frame, task)
        match self.dice.choice(("well",) * 6 + ("nobody", "crowd", "stranger", "no number")):
            case "nobody":
                return seen[:0]
            case "crowd":
                return np.concatenate([seen] * 20)
            case "stranger":
                return np.concatenate([seen, seen[:1] + np.float32(300)])
            case "no number" if len(seen):
                numbers = (np.nan, np.inf, -np.inf, 1e30)
                seen[self.dice.randrange(len(seen)), self.dice.randrange(17)] = self.dice.choice(
                    numbers
                )
        return seen


class Night:
    """A night, from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        cameras = self.dice.choice((2, 4, 6))
        rig: Rig = ring_rig(cameras)
        self.inference: WalkerInference | None = None
        if self.dice.random() < 0.5:
            self.inference = StrangeInference(Walkers(rig), seed, slow_s=0.0)
        self.node = PlayedNode(rig, inference=self.inference)
        self.fates = [Fate() for _ in range(cameras)]
        self.given = 0
        self.waiting: list[Frame] = []

    def play(self) -> None:
        """Play it to its end."""
        now_ns = BEGAN_NS
        for beat in range(BEATS):
            now_ns += self.dice.choice(STEPS_NS)
            for camera in range(len(self.fates)):
                lot = self.lot(camera, beat)
                if beat % lot.every == 0:
                    self.give(camera, beat, now_ns, lot)
            come = [frame for frame in self.waiting if frame.arrived_ns <= now_ns]
            self.waiting = [frame for frame in self.waiting if frame.arrived_ns > now_ns]
            cameras = self.node.cameras
            cameras.frames.extend(come)
            cameras.frames.sort(key=lambda frame: (frame.arrived_ns, frame.camera))
            self.given += len(cameras.frames)
            self.node.now_ns = now_ns
            if self.inference is not None:
                self.inference.failing = self.dice.random() < 0.1
                cameras.overtaken += self.dice.choice((0, 0, 0, 1, 4))
            self.node.loop.turn()
            if self.dice.random() < 0.3:
                self.node.now_ns = now_ns = now_ns + 3 * MS
                self.node.loop.turn()
        self.node.close()
        if self.inference is not None:
            self.inference.close()

    def lot(self, camera: int, beat: int) -> Fate:
        """Say what a camera is like now."""
        lot = self.fates[camera]
        lot.beats -= 1
        if lot.beats < 0:
            lot = fate(self.dice) if beat > 10 else Fate(beats=5)
            self.fates[camera] = lot
        return lot

    def give(self, camera: int, beat: int, now_ns: int, lot: Fate) -> None:
        """Let a camera give what its fate says."""
        if lot.kind == "silent":
            return
        node, name = self.node, self.node.rig.names[camera]
        if lot.kind == "unusable":
            self.waiting.append(
                CameraFrame(camera, name, now_ns, beat, ODD_IMAGE, now_ns + lot.late_ns)
            )
            return
        true_ns = BEGAN_NS if lot.kind == "still" else now_ns
        time_ns = true_ns + lot.shift_ns
        picture = CameraFrame(camera, name, time_ns, beat, IMAGE, now_ns + lot.late_ns)
        if self.inference is not None and lot.kind in {"well", "twice", "still"}:
            self.waiting += [picture, picture] if lot.kind == "twice" else [picture]
            return
        seen = NOBODY if lot.kind == "nobody" else node.walkers.seen(picture)
        if lot.kind == "nan":
            seen[..., self.dice.randrange(3)] = np.nan
        frame = ObservedFrame(camera, name, time_ns, beat, seen, now_ns + lot.late_ns)
        self.waiting += [frame, frame] if lot.kind == "twice" else [frame]


@pytest.mark.parametrize("seed", range(NIGHTS))
def test_a_night_of_everything_ends_nothing_and_every_frame_is_counted(seed: int) -> None:
    night = Night(seed)
    night.play()
    node = night.node
    times = node.live.times_ns
    assert times == sorted(set(times))
    assert len(times) >= 10, "the first beats are well"
    in_rounds = sum(len(work.frames) for work in node.watch.rounds)
    left = sum(node.watch.left.get(reason, 0) for reason in NOT_IN_A_ROUND)
    unfinished = night.given - in_rounds - left
    assert 0 <= unfinished <= len(node.rig.names), "but for those of the last round"
    again = Tracker(node.rig, node.tracker.options)
    for entry in node.log.entries:
        if isinstance(entry, Observed):
            taken = again.observe(entry.camera, entry.capture_time_ns, entry.keypoints)
            assert taken == entry.accepted
        elif isinstance(entry, Snapped):
            snapshot = again.snapshot(entry.time_ns, smoothed=entry.kind == "smoothed")
            assert snapshot_digest(snapshot) == entry.digest
