"""The live loop: what comes out rests on what came in, and on the disk before it is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby

import numpy as np
import pytest

from accel import Tracker
from edge_node.area import Everywhere
from edge_node.frames import CameraFrame, CameraState, DegradationKind
from edge_node.inference import Detect, Found, Task
from edge_node.journal.digest import snapshot_digest
from edge_node.journal.entries import Checkpointed, Dropped, Observed, Snapped, StateChanged
from edge_node.live.committer import Batch
from edge_node.live.load import LoadOptions, LoadStep
from edge_node.live.parts import LoopOptions
from edge_node.pictures import ArrayPicture
from edge_node.planner import PlanOptions
from tests.support.live import PlayedNode
from tests.support.pipelines import PERIOD_NS, WalkerInference, Walkers
from tests.support.rigs import ring_rig

BEATS = 60


def steady() -> PlayedNode:
    node = PlayedNode()
    node.play(range(BEATS))
    node.close()
    return node


def test_every_beat_gives_a_live_snapshot_of_everybody() -> None:
    node = steady()
    assert node.live.times_ns[5:] == [beat * PERIOD_NS for beat in range(5, BEATS)]
    assert {len(m.frame.snapshot) for m in node.live.published[10:]} == {3}
    assert not node.watch.left


def test_smoothed_snapshots_come_for_the_same_times_once_their_lag_has_come() -> None:
    node = steady()
    lag_ns = round(node.tracker.options.lag_ms * 1e6)
    newest = (BEATS - 1) * PERIOD_NS
    assert node.smoothed.times_ns == [t for t in node.live.times_ns if t + lag_ns <= newest]
    assert [m.sequence for m in node.smoothed.published] == list(
        range(1, len(node.smoothed.published) + 1)
    )


def test_the_calls_written_down_repeat_every_snapshot_bit_for_bit() -> None:
    node = steady()
    again = Tracker(node.rig, node.tracker.options)
    compared = 0
    for entry in node.log.entries:
        if isinstance(entry, Observed):
            assert again.observe(entry.camera, entry.capture_time_ns, entry.keypoints)
        elif isinstance(entry, Snapped):
            snapshot = again.snapshot(entry.time_ns, smoothed=entry.kind == "smoothed")
            assert snapshot_digest(snapshot) == entry.digest
            compared += 1
    assert compared == len(node.live.published) + len(node.smoothed.published)


def test_checkpoints_stand_among_the_calls_where_they_were_made() -> None:
    options = LoopOptions(PlanOptions(), Everywhere(), checkpoint_every_ns=20 * PERIOD_NS)
    node = PlayedNode(options=options)
    node.play(range(BEATS))
    node.close()
    places = [i for i, e in enumerate(node.log.entries) if isinstance(e, Checkpointed)]
    assert len(places) == 3
    entry = node.log.entries[places[1]]
    assert isinstance(entry, Checkpointed)
    resumed = Tracker.restore(node.rig, entry.checkpoint)
    for later in node.log.entries[places[1] :]:
        if isinstance(later, Observed):
            resumed.observe(later.camera, later.capture_time_ns, later.keypoints)
        elif isinstance(later, Snapped) and later.kind == "live":
            assert snapshot_digest(resumed.snapshot(later.time_ns)) == later.digest
    members = [e for e in node.log.entries if isinstance(e, StateChanged) and e.name == "members"]
    assert len(members) == 3
    assert len(members[-1].value["members"]) == 3


def test_a_camera_that_falls_silent_costs_no_snapshot() -> None:
    node = PlayedNode()
    node.play(range(30))
    for beat in range(30, 60):
        for camera in range(3):
            node.cameras.put(camera, beat)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
        node.now_ns = beat * PERIOD_NS + 10_000_000
        node.loop.turn()
    node.close()
    assert node.live.times_ns[-25:] == [beat * PERIOD_NS for beat in range(35, 60)]


def test_a_time_that_is_not_new_gives_no_snapshot_and_its_calls_are_kept() -> None:
    node = PlayedNode()
    node.play(range(10))
    node.play(range(8, 9))
    node.play(range(10, 14))
    node.close()
    assert node.watch.left["not_newer"] == 4
    refused = [e for e in node.log.entries if isinstance(e, Observed) and not e.accepted]
    assert len(refused) == 4
    assert node.live.times_ns == sorted(set(node.live.times_ns))


@pytest.mark.parametrize("ahead_ms", [150, 300, 450])
def test_a_camera_whose_clock_is_ahead_takes_nobody_off_the_court(ahead_ms: int) -> None:
    node = PlayedNode(ring_rig(6))
    for beat in range(1000, 1000 + BEATS):
        for camera in range(6):
            shift_ns = ahead_ms * 1_000_000 if camera == 2 else 0
            node.cameras.put(camera, beat, shift_ns=shift_ns, late_ns=-shift_ns)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    assert node.live.times_ns[-30:] == [beat * PERIOD_NS for beat in range(1030, 1000 + BEATS)]
    assert {len(m.frame.snapshot) for m in node.live.published[-30:]} == {3}
    assert {name: state for name, state, _ in node.cameras.judged} == {"cam02": CameraState.LATE}


def test_pictures_are_looked_at_by_inference() -> None:
    inference = WalkerInference(Walkers(), slow_s=0.0)
    node = PlayedNode(inference=inference)
    for beat in range(30):
        for camera in range(4):
            node.cameras.put(camera, beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert len(node.live.published) >= 27
    assert len(node.live.published[-1].frame.snapshot) == 3


def test_under_load_the_steps_are_taken_said_and_left_again() -> None:
    load = LoadOptions(
        steps=(LoadStep(detect_factor=2), LoadStep(posed_share=0.5), LoadStep(rate_divisor=2)),
        window_s=0.1,
        calm_s=0.5,
        calm_most_s=0.5,
    )
    inference = WalkerInference(Walkers(), slow_s=0.0)
    node = PlayedNode(
        inference=inference, options=LoopOptions(PlanOptions(), Everywhere(), load=load)
    )
    for beat in range(200):
        node.cameras.overtaken += 4 if 40 <= beat < 80 else 0
        for camera in range(4):
            node.cameras.put(camera, beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert node.watch.levels == [1, 2, 3, 2, 1, 0]
    said = [d.kind for m in node.live.published if m.state for d in m.state.degradations]
    assert set(said) == {
        DegradationKind.FEWER_DETECTIONS,
        DegradationKind.FEWER_POSES,
        DegradationKind.LOWER_RATE,
    }
    assert node.watch.left["rate_lowered"] > 0
    last = node.live.published[-1]
    assert last.state is not None
    assert last.state.degradations == ()
    assert len(last.frame.snapshot) == 3


def test_with_half_of_the_people_posed_those_are_chosen_from_whom_most_is_gained() -> None:
    inference = WalkerInference(Walkers(people=6), slow_s=0.0)
    node = PlayedNode(inference=inference)

    def boxes_asked(beats: range) -> int:
        before = len(inference.asked)
        for beat in beats:
            for camera in range(4):
                node.cameras.put(camera, beat, picture=True)
            node.now_ns = beat * PERIOD_NS + 2
            node.loop.turn()
        tasks = [task for _, _, asked in inference.asked[before:] for task in asked]
        return sum(len(getattr(task, "people", ())) for task in tasks)

    boxes_asked(range(20))
    full = boxes_asked(range(20, 30))
    node.loop.perception.posed_share = 0.5
    half = boxes_asked(range(30, 40))
    node.close()
    inference.close()
    assert 0.35 * full <= half <= 0.65 * full
    assert len(node.live.published[-1].frame.snapshot) == 6


def test_a_camera_whose_views_contradict_the_others_is_named() -> None:
    node = PlayedNode(Walkers().rig)
    rng = np.random.default_rng(3)
    node.play(range(1500))
    names = {name for name, _, _ in node.cameras.judged}
    assert names == set(node.rig.names)
    node.cameras.judged.clear()
    for beat in range(1500, 2100):
        for camera in range(4):
            node.cameras.put(camera, beat)
        if beat % 1 == 0:
            bad = node.cameras.frames[1]
            bad.keypoints[..., 0] += 25.0 + rng.normal()  # type: ignore[union-attr]
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    said = {name: state for name, state, _ in node.cameras.judged}
    assert said.get(node.rig.names[1]) is CameraState.MOVED


def test_a_picture_that_comes_too_late_for_the_tracker_ends_nothing() -> None:
    inference = WalkerInference(Walkers(), slow_s=0.0)
    node = PlayedNode(inference=inference)
    for beat in range(60):
        for camera in range(4):
            # One camera lags by half a second, far beyond what the tracker still takes.
            lags = camera == 2 and beat >= 30
            node.cameras.put(camera, beat - 30 if lags else beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert node.watch.left["too_late"] >= 25
    assert len(node.live.published) >= 55


def test_inference_that_fails_for_a_while_costs_its_frames_and_no_session() -> None:
    inference = WalkerInference(Walkers(), slow_s=0.0)
    node = PlayedNode(inference=inference)
    for beat in range(60):
        inference.failing = 20 <= beat < 30
        for camera in range(4):
            node.cameras.put(camera, beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert node.watch.left["inference_failed"] >= 8
    assert node.live.times_ns[-1] >= 58 * PERIOD_NS
    assert {len(m.frame.snapshot) for m in node.live.published[45:]} == {3}


def test_with_nobody_to_pose_a_share_of_nobody_is_posed() -> None:
    inference = WalkerInference(Walkers(people=0), slow_s=0.0)
    node = PlayedNode(inference=inference)
    node.loop.perception.posed_share = 0.5
    for beat in range(10):
        for camera in range(4):
            node.cameras.put(camera, beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert len(node.live.published) >= 8


def test_a_picture_where_nothing_can_look_costs_itself_alone() -> None:
    node = PlayedNode()
    for beat in range(30):
        for camera in range(4):
            node.cameras.put(camera, beat, picture=camera == 1 and beat >= 10)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    assert node.live.times_ns[-1] == 29 * PERIOD_NS
    assert len(node.live.published[-1].frame.snapshot) == 3
    assert node.watch.left == {"unusable": 20}


def test_a_frame_that_cannot_be_used_leaves_the_round_as_it_is() -> None:
    node = PlayedNode()
    node.play(range(10))
    for beat in range(10, 20):
        for camera in range(3):
            node.cameras.put(camera, beat)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
        # The round waits for the fourth camera, and has a frame of the one that now fails.
        node.cameras.put(1, beat, picture=True)
        node.now_ns += 1
        node.loop.turn()
        node.cameras.put(3, beat)
        node.loop.turn()
    node.close()
    assert node.live.times_ns[-10:] == [beat * PERIOD_NS for beat in range(10, 20)]
    assert {len(m.frame.snapshot) for m in node.live.published[-5:]} == {3}


def test_where_no_cameras_frames_can_be_used_it_is_said_all_the_same() -> None:
    node = PlayedNode()
    for beat in range(40):
        for camera in range(4):
            node.cameras.put(camera, beat, picture=beat >= 10)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    failed = {name for name, state, _ in node.cameras.judged if state is CameraState.FAILED}
    assert failed == set(node.rig.names)
    node.close()
    dropped = [entry for entry in node.log.entries if isinstance(entry, Dropped)]
    assert len(dropped) == 4 * 30


def picture(node: PlayedNode, camera: int, beat: int, size_px: tuple[int, int]) -> CameraFrame:
    """A frame of the walkers in a picture of that size."""
    width, height = size_px
    image = ArrayPicture(np.zeros((height, width, 3), np.uint8))
    time_ns = beat * PERIOD_NS
    return CameraFrame(camera, node.rig.names[camera], time_ns, beat, image, time_ns + 1)


class ScaledInference(WalkerInference):
    """Finds the walkers in the pixels of the picture, whatever its size."""

    def submit(self, frame: CameraFrame, tasks: Sequence[Task]) -> Future[Found]:
        factor = self.walkers.rig.size[frame.camera][0] / frame.image.width_px
        asked = super().submit(frame, [Detect(1.0, (640, 384)) for _ in tasks[:1]])
        found: Future[Found] = Future()
        people = asked.result()
        people.keypoints[..., :2] = (people.keypoints[..., :2] + 0.5) / factor - 0.5
        found.set_result(people)
        return found


def test_pictures_of_another_size_are_measured_by_their_own_factor() -> None:
    inference = ScaledInference(Walkers(), slow_s=0.0)
    options = LoopOptions(PlanOptions(detect_every=1), Everywhere())
    node = PlayedNode(inference=inference, options=options)
    sizes = {10: (1280, 720), 20: (1000, 1000), 30: (960, 540)}
    size = (1920, 1080)
    for beat in range(45):
        size = sizes.get(beat, size)
        for camera in range(4):
            mine = size if camera == 2 else (1920, 1080)
            node.cameras.frames.append(picture(node, camera, beat, mine))
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    assert node.watch.left == {"unusable": 10}, "those that are no scaled copy"
    said = [(state, why) for name, state, why in node.cameras.judged if name == "cam02"]
    states = [state for state, _ in groupby(state for state, _ in said)]
    assert states[-2:] == [CameraState.FAILED, None]
    assert any("1000x1000" in why for _, why in said)
    true = Walkers(node.rig)
    seen = [e for e in node.log.entries if isinstance(e, Observed) and e.camera == 2]
    assert len(seen) >= 30
    for entry in seen:
        uv = node.rig.project(true.joints_m(entry.capture_time_ns))[:, :, 2]
        assert np.abs(entry.keypoints[..., :2] - uv).max() < 10.0


def test_whoever_is_left_out_is_counted_by_his_camera_and_stands_in_the_journal() -> None:
    inference = WalkerInference(Walkers(), slow_s=0.0)
    node = PlayedNode(inference=inference)
    for beat in range(60):
        inference.failing = 20 <= beat < 30
        for camera in range(4):
            lags = camera == 2 and beat >= 40
            node.cameras.put(camera, beat - 30 if lags else beat, picture=True)
        node.now_ns = beat * PERIOD_NS + 2
        node.loop.turn()
    node.close()
    inference.close()
    told = Counter(entry.reason for entry in node.log.entries if isinstance(entry, Dropped))
    assert set(told) == {"inference_failed", "too_late"}
    assert {reason: node.watch.left[reason] for reason in told} == told
    late = {e.camera for e in node.log.entries if isinstance(e, Dropped) and e.reason == "too_late"}
    assert late == {2}


def test_what_is_overtaken_behind_a_slow_disk_changes_nothing_in_what_is_asked() -> None:
    load = LoadOptions(window_s=0.1)
    node = PlayedNode(options=LoopOptions(PlanOptions(), Everywhere(), load=load))
    put = node.committer.put

    def put_late(batch: Batch, stopped: Callable[[], bool]) -> bool:
        node.cameras.overtaken += 20
        return put(batch, stopped)

    node.committer.put = put_late  # type: ignore[method-assign]
    node.play(range(60))
    assert node.loop.level == 0
    for beat in range(60, 80):
        # Those that were overtaken while nothing waited for the disk still count.
        node.cameras.overtaken += 20
        node.play(range(beat, beat + 1))
    assert node.loop.level > 0
    node.close()


def test_a_state_whose_words_count_seconds_is_written_down_once() -> None:
    node = PlayedNode()
    for beat in range(60):
        node.cameras.detail = f"the same picture for {beat / 60:.1f} s, while 2 others see movement"
        node.play(range(beat, beat + 1))
    node.cameras.detail = "it shows what cam02 shows"
    node.play(range(60, 70))
    node.cameras.detail = "it shows what cam03 shows"
    node.play(range(70, 80))
    node.close()
    told = [e.value for e in node.log.entries if isinstance(e, StateChanged)]
    details = [value["cam00"]["detail"] for value in told if "cam00" in value]
    assert len(details) == 3
    assert details[0] == "the same picture for 0.0 s, while 2 others see movement"
