"""The pipeline: everybody in every frame, the same whatever the threads do, and ended well."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from accel import Tracker
from edge_node.area import Rectangle
from edge_node.capture import Source
from edge_node.errors import FrameSizeError, SinkError
from edge_node.frames import CameraState, Sink, TrackedFrame
from edge_node.inference import Detect
from edge_node.pipeline import Pipeline, PipelineOptions
from edge_node.planner import PlanOptions
from edge_node.sizes import size_factor
from tests.support.pipelines import PERIOD_NS, Kept, WalkerInference, Walkers, WalkerSource
from tipoff.errors import UnavailableError

WALKERS = Walkers()


def sources_of(count: int, shifts_ns: Sequence[int] = (0, 0, 0, 0)) -> list[Source]:
    return [WalkerSource(WALKERS, camera, count, shifts_ns[camera]) for camera in range(4)]


def run(
    count: int = 40,
    *,
    seed: int = 0,
    sinks: Sequence[Sink] = (),
    sources: list[Source] | None = None,
    options: PipelineOptions | None = None,
) -> tuple[Kept, WalkerInference, Any]:
    kept, inference = Kept(), WalkerInference(WALKERS, seed)
    pipeline = Pipeline(
        WALKERS.rig,
        sources or sources_of(count),
        inference,
        Tracker(WALKERS.rig),
        [kept, *sinks],
        options or PipelineOptions(),
    )
    try:
        return kept, inference, pipeline.run()
    finally:
        inference.close()


def test_everybody_is_tracked_in_every_frame_under_one_id() -> None:
    kept, inference, result = run()
    assert result.frames == len(kept.frames) == 40
    assert kept.closed == 1
    assert {tuple(frame.snapshot.ids) for frame in kept.frames} == {(1, 2, 3)}
    for frame in kept.frames[10:]:
        truth = WALKERS.joints_m(frame.time_ns)
        gaps = np.linalg.norm(frame.snapshot.joints_m[:, None] - truth[None], axis=-1).mean(axis=-1)
        assert gaps.min(axis=1).max() < 0.03
    searched = sum(isinstance(task, Detect) for _, _, tasks in inference.asked for task in tasks)
    assert searched <= 4 * 2 + 4 * 2
    assert [camera.state for camera in result.cameras] == [CameraState.ENDED] * 4
    assert [camera.frames for camera in result.cameras] == [40] * 4
    assert result.cameras[0].last_capture_time_ns == 39 * PERIOD_NS
    assert not result.interrupted


def same(a: list[TrackedFrame], b: list[TrackedFrame]) -> bool:
    return all(
        x.time_ns == y.time_ns
        and np.array_equal(x.snapshot.ids, y.snapshot.ids)
        and np.array_equal(x.snapshot.joints_m, y.snapshot.joints_m, equal_nan=True)
        and np.array_equal(x.snapshot.covariance_m2, y.snapshot.covariance_m2, equal_nan=True)
        and x.cameras == y.cameras
        for x, y in zip(a, b, strict=True)
    )


def test_the_same_recordings_give_the_same_bits_and_questions_however_fast_answers_come() -> None:
    shifts = (0, 3_000_000, 9_000_000, 14_000_000)
    runs = [run(seed=seed, sources=sources_of(30, shifts)) for seed in (1, 2, 3)]
    for kept, inference, _ in runs[1:]:
        assert same(kept.frames, runs[0][0].frames)
        assert questions(inference) == questions(runs[0][1])


def questions(inference: WalkerInference) -> list[str]:
    return sorted(repr(asked) for asked in inference.asked)


def test_cameras_out_of_step_are_measured_at_their_own_times() -> None:
    shifts = (0, 3_000_000, 9_000_000, 14_000_000)
    options = PipelineOptions(plan=PlanOptions(rest_every=0))
    kept, _, _ = run(sources=sources_of(30, shifts), options=options)
    frame = kept.frames[-1]
    assert [view.capture_time_ns - 29 * PERIOD_NS for view in frame.views] == list(shifts)
    assert all(view.snapshot.time_ns == view.capture_time_ns for view in frame.views)
    assert frame.time_ns == frame.views[-1].capture_time_ns
    times = [frame.time_ns for frame in kept.frames]
    assert times == sorted(set(times))


def test_a_camera_that_ends_early_is_named_and_the_others_go_on() -> None:
    sources: list[Source] = [WalkerSource(WALKERS, c, 12 if c == 2 else 30) for c in range(4)]
    kept, _, result = run(sources=sources)
    assert result.frames == 30
    assert kept.frames[20].cameras[2].state is CameraState.ENDED
    assert kept.frames[20].cameras[2].frames == 12
    assert kept.frames[20].cameras[1].state is CameraState.LIVE
    assert tuple(kept.frames[-1].snapshot.ids) == (1, 2, 3)


def test_a_camera_without_a_source_waits() -> None:
    sources: list[Source] = [WalkerSource(WALKERS, c, 10) for c in range(3)]
    _, _, result = run(sources=sources)
    assert result.cameras[3].state is CameraState.WAITING
    assert result.cameras[3].last_capture_time_ns is None


def test_people_outside_the_area_are_neither_reported_nor_posed() -> None:
    options = PipelineOptions(area=Rectangle(-9.0, -9.0, -8.0, -8.0))
    kept, inference, result = run(options=options)
    assert all(not len(frame.snapshot.ids) for frame in kept.frames)
    assert result.outside == 3
    later = [tasks for _, index, tasks in inference.asked if index > 5]
    assert all(isinstance(task, Detect) for tasks in later for task in tasks)


def test_posing_in_turns_still_tracks_everybody() -> None:
    options = PipelineOptions(plan=PlanOptions(rest_every=2))
    kept, inference, _ = run(options=options)
    assert {tuple(frame.snapshot.ids) for frame in kept.frames} == {(1, 2, 3)}
    assert len(inference.asked) < 110


class Broken:
    """A sink that fails at its third frame."""

    def __init__(self, error: Exception) -> None:
        self.error, self.seen, self.closed = error, 0, 0

    def write(self, _frame: TrackedFrame) -> None:
        self.seen += 1
        if self.seen == 3:
            raise self.error

    def close(self) -> None:
        self.closed += 1


def test_a_sink_that_fails_ends_the_run_and_all_sinks_are_closed() -> None:
    broken, kept = Broken(ValueError("disk on fire")), Kept()
    with pytest.raises(SinkError, match="Broken failed: disk on fire"):
        run(200, sinks=[broken, kept])
    assert broken.closed == kept.closed == 1
    own = Broken(UnavailableError("no room"))
    with pytest.raises(UnavailableError, match="no room"):
        run(200, sinks=[own])


def test_an_interrupt_closes_the_sinks_with_what_was_tracked() -> None:
    kept, inference = Kept(), WalkerInference(WALKERS)
    done = 0

    def on_round(_frames: int) -> None:
        nonlocal done
        done += 1
        if done == 10:
            raise KeyboardInterrupt

    options = PipelineOptions(on_round=on_round)
    pipeline = Pipeline(
        WALKERS.rig, sources_of(500), inference, Tracker(WALKERS.rig), [kept], options
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    inference.close()
    assert len(kept.frames) == 10
    assert kept.closed == 1
    assert pipeline.result().interrupted
    assert not [t for t in threading.enumerate() if t.name.startswith(("capture-", "sink-"))]


def test_stop_ends_a_run_soon() -> None:
    kept, inference = Kept(), WalkerInference(WALKERS)
    pipeline: Pipeline
    options = PipelineOptions(on_round=lambda _frames: pipeline.stop())
    pipeline = Pipeline(
        WALKERS.rig, sources_of(500), inference, Tracker(WALKERS.rig), [kept], options
    )
    result = pipeline.run()
    inference.close()
    assert result.interrupted
    assert 1 <= result.frames <= 5


class Failing(WalkerInference):
    """Inference that fails."""

    def _look(self, *_: Any) -> Any:
        raise UnavailableError("the server is gone")


def test_what_inference_raises_ends_the_run() -> None:
    kept, inference = Kept(), Failing(WALKERS)
    pipeline = Pipeline(WALKERS.rig, sources_of(20), inference, Tracker(WALKERS.rig), [kept])
    with pytest.raises(UnavailableError, match="the server is gone"):
        pipeline.run()
    inference.close()
    assert kept.closed == 1


def test_a_scaled_video_fits_a_cut_one_too_and_another_does_not() -> None:
    calibrated = np.array([1088.0, 1920.0])
    assert size_factor("a", (1088, 1920), calibrated).tolist() == [1.0, 1.0]
    assert size_factor("a", (1080, 1920), calibrated).tolist() == [1.0, 1.0]
    assert size_factor("a", (544, 960), calibrated).tolist() == [2.0, 2.0]
    with pytest.raises(FrameSizeError, match="1088x1920 px and its video has 1920x1080"):
        size_factor("a", (1920, 1080), calibrated)
