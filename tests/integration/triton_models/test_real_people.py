"""On frames of real cameras, the pulled models find the people who are there, and pose them.

Run in this process, so that what fails here is the weights or their decoding, not the server.
"""

from __future__ import annotations

import functools
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from accel.decode import crop_resize, people
from accel.letterbox import Placement, letterbox
from accel.skeleton import COCO17
from edge_node.demo import fetch_clips
from tests.support.weights import pulled_store
from triton_models.pose_models import PoseModel

PEOPLE = {"cam01": 3, "cam02": 3, "cam03": 2, "cam04": 2}
"""Who is in view in the middle of the two-person clip; the third is a bystander."""
HEADS = ("heat", "center", "regress", "offset", "scale", "boxoff")
SHOULDERS_AND_HIPS = [
    COCO17.joints.index(f"{side}_{part}")
    for side in ("left", "right")
    for part in ("shoulder", "hip")
]


@functools.cache
def _frame(camera: str, number: int = 30) -> NDArray[np.uint8]:
    with av.open(str(fetch_clips() / "two-person" / f"{camera}.mp4")) as video:
        for index, frame in enumerate(video.decode(video=0)):
            if index == number:
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
                return np.ascontiguousarray(pixels)
    raise AssertionError(f"{camera} ends before frame {number}")


@functools.cache
def _session(name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(pulled_store().path(name), options)


def _run(name: str, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = _session(name)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": batch}), strict=True))


def _find(
    frame: NDArray[np.uint8], size: tuple[int, int] = (320, 512)
) -> tuple[Placement, NDArray[np.float32], NDArray[np.float32]]:
    """Placement, boxes and keypoints of the people in a frame, in source pixels."""
    height, width = frame.shape[:2]
    place = letterbox((width, height), size)
    batch = np.zeros((1, size[1], size[0], 3), np.float32)
    batch[0, : place.height_px, : place.width_px] = crop_resize(
        frame, place.region, place.height_px, place.width_px
    )
    heads = _run("movenet-multipose", batch)
    boxes, keypoints, _ = people(*(heads[name][0] for name in HEADS), threshold=0.3)
    keypoints[..., :2] = place.to_source(keypoints[..., :2])
    return place, place.boxes_to_source(boxes).astype(np.float32), keypoints


@pytest.mark.parametrize("camera", PEOPLE)
def test_everybody_in_view_is_found(camera: str) -> None:
    _, boxes, keypoints = _find(_frame(camera))
    assert len(boxes) == PEOPLE[camera]
    trunk = keypoints[:, SHOULDERS_AND_HIPS]
    assert (trunk[..., 2] > 0.15).all()
    for box, joints in zip(boxes, trunk, strict=True):
        assert (joints[:, :2] >= box[:2]).all()
        assert (joints[:, :2] <= box[2:]).all()


@pytest.mark.parametrize("name", ["lightning", "thunder"])
@pytest.mark.parametrize("camera", PEOPLE)
def test_crops_agree_with_the_whole_frame(camera: str, name: str) -> None:
    """Two models that were trained apart put the clear joints of a person in the same places."""
    frame = _frame(camera)
    _, boxes, found = _find(frame)
    model = PoseModel.load(pulled_store(), name)
    posed = model.poses(lambda batch: _run(model.manifest.name, batch), frame, boxes)
    for box, one, other in zip(boxes, found, posed, strict=True):
        clear = np.minimum(one[:, 2], other[:, 2]) > 0.4
        assert clear.sum() >= 4
        apart = np.hypot(*(one - other)[clear, :2].T)
        assert np.median(apart) < 0.04 * (box[3] - box[1])


def test_a_mirrored_frame_gives_mirrored_people() -> None:
    """Which shows that nothing is shifted: a shift would go the other way in the mirror."""
    shifts: list[float] = []
    for camera in PEOPLE:
        frame = _frame(camera)
        place, _, found = _find(frame)
        _, _, mirrored = _find(np.ascontiguousarray(frame[:, ::-1]))
        mirrored = mirrored[:, list(COCO17.mirror)]
        mirrored[..., 0] = frame.shape[1] - 1 - mirrored[..., 0]
        for one in found:
            other = min(mirrored, key=lambda pose: float(np.nanmedian(np.abs(pose - one)[:, :2])))
            clear = np.minimum(one[:, 2], other[:, 2]) > 0.4
            shifts += list((one - other)[clear, 0] / 2 * place.scale[0])
    assert len(shifts) > 60
    assert abs(float(np.median(shifts))) < 0.15
