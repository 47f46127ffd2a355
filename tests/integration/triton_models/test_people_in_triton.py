"""The models find and pose people in the real server as they do in this process."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from accel.decode import crop_resize, people
from accel.letterbox import letterbox
from tests.support.figures import ANKLES, PEOPLE, court_picture, encode_jpeg, turned_for
from triton_models.client import ClientOptions, InferenceClient, People, PeopleQuery
from triton_models.server import TritonServer
from triton_models.weights.store import Store

HEADS = ("heat", "center", "regress", "offset", "scale", "boxoff")
ANKLE_JOINTS = (16, 15)


def by_place(found: People) -> list[int]:
    """Order people from left to right."""
    return [int(index) for index in np.argsort(found.boxes_px[:, 0])]


def found_here(frame: NDArray[np.uint8], width: int, height: int) -> People:
    """Do in this process what people_frame does in the server."""
    placement = letterbox((frame.shape[1], frame.shape[0]), (width, height))
    picture = np.zeros((1, height, width, 3), np.float32)
    scaled = crop_resize(frame, placement.region, placement.height_px, placement.width_px)
    picture[0, : placement.height_px, : placement.width_px] = scaled
    session = onnxruntime.InferenceSession(Store().path("movenet-multipose"))
    heads = session.run(list(HEADS), {"image": picture})
    boxes, keypoints, scores = people(*(head[0] for head in heads), threshold=0.15)
    keypoints[..., :2] = placement.to_source(keypoints[..., :2])
    return People(placement.boxes_to_source(boxes).astype(np.float32), keypoints, scores)


def require_same(found: People, expected: People, within_px: float) -> None:
    """Compare people, who may come in another order."""
    assert len(found.scores) == len(expected.scores) > 0
    for i, j in zip(by_place(found), by_place(expected), strict=True):
        np.testing.assert_allclose(
            found.keypoints[i][:, :2], expected.keypoints[j][:, :2], atol=within_px
        )
        np.testing.assert_allclose(found.boxes_px[i], expected.boxes_px[j], atol=within_px)


def require_ankles(found: People, scale: float = 1.0, within_px: float = 6.0) -> None:
    """Check that the drawn ankles were found where they were drawn."""
    assert len(found.scores) == len(PEOPLE)
    for person, index in enumerate(by_place(found)):
        ankles = found.keypoints[index][list(ANKLE_JOINTS), :2] / scale
        np.testing.assert_allclose(ankles, ANKLES[person], atol=within_px)


@pytest.mark.parametrize("shared_memory", [True, False])
def test_people_frame_is_what_the_same_steps_give_here(
    triton_server: TritonServer, *, shared_memory: bool
) -> None:
    options = ClientOptions(shared_memory=shared_memory)
    frame = court_picture(2)
    with InferenceClient(triton_server.grpc_address, options) as client:
        found = client.people_frame(frame)
    require_same(found, found_here(frame, 512, 288), within_px=0.05)
    require_ankles(found, scale=2.0)


def test_people_frame_looks_at_a_region_and_takes_its_parameters(
    triton_client: InferenceClient,
) -> None:
    frame = court_picture(2)
    query = PeopleQuery(region=(700, 100, 1100, 700), input_width=256, input_height=384)
    found = triton_client.people_frame(frame, query)
    assert len(found.scores) == 1
    ankles = found.keypoints[0][list(ANKLE_JOINTS), :2] / 2.0
    np.testing.assert_allclose(ankles, ANKLES[1], atol=6.0)
    assert len(triton_client.people_frame(frame, PeopleQuery(threshold=0.99)).scores) == 0


def test_people_jpeg_gives_source_pixels(triton_client: InferenceClient) -> None:
    for scale in (1, 3):
        found = triton_client.people_jpeg(encode_jpeg(court_picture(scale)))
        require_ankles(found, scale)


def test_people_jpeg_agrees_with_people_frame(triton_client: InferenceClient) -> None:
    data = encode_jpeg(court_picture(2))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    frame: NDArray[np.uint8] = np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)
    query = PeopleQuery(input_width=640, input_height=384)
    found = triton_client.people_jpeg(data)
    require_same(found, triton_client.people_frame(frame, query), within_px=3.0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_people_jpeg_answers_in_the_upright_picture(
    triton_client: InferenceClient, orientation: int
) -> None:
    stored = turned_for(court_picture(), orientation)
    require_ankles(triton_client.people_jpeg(encode_jpeg(stored, orientation)))


@pytest.mark.parametrize("size", [(641, 383), (333, 777), (1921, 1079), (50, 900)])
def test_an_odd_size_is_letterboxed_as_the_decoding_thinks(
    triton_client: InferenceClient, size: tuple[int, int]
) -> None:
    width, height = size
    canvas: NDArray[np.uint8] = np.full((height, width, 3), 100, np.uint8)
    drawn = court_picture()[:, 100:300]
    fitted = cv2.resize(drawn, (min(width, 200), min(height, 384)))
    canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
    query = PeopleQuery(input_width=640, input_height=384)
    decoded = cv2.imdecode(
        np.frombuffer(encode_jpeg(canvas, quality=100), np.uint8), cv2.IMREAD_COLOR
    )
    assert decoded is not None
    frame: NDArray[np.uint8] = np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)
    by_frame = triton_client.people_frame(frame, query)
    by_jpeg = triton_client.people_jpeg(encode_jpeg(canvas, quality=100))
    if len(by_frame.scores):
        require_same(by_jpeg, by_frame, within_px=0.02 * max(size))


@pytest.mark.parametrize("pose_model", [None, "lightning", "thunder"])
def test_pose_crops_poses_each_box(triton_client: InferenceClient, pose_model: str | None) -> None:
    boxes = np.array([[150, 66, 250, 292], [-500, -500, -400, -300], [384, 86, 476, 292]])
    poses = triton_client.pose_crops(court_picture(), boxes, pose_model)
    assert poses.shape == (3, 17, 3)
    for person, index in ((0, 0), (1, 2)):
        ankles = poses[index][list(ANKLE_JOINTS), :2]
        np.testing.assert_allclose(ankles, ANKLES[person], atol=8.0)
    assert np.isnan(poses[1, :, :2]).all(), "nobody is seen in a box outside the frame"
    assert (poses[1, :, 2] == 0).all()


def test_no_boxes_are_no_poses(triton_client: InferenceClient) -> None:
    poses = triton_client.pose_crops(court_picture(), np.zeros((0, 4), np.float32))
    assert poses.shape == (0, 17, 3)


def test_a_leased_frame_serves_many_requests_at_once(triton_client: InferenceClient) -> None:
    frame = court_picture(2)
    with triton_client.frame(*frame.shape[:2]) as shared:
        shared.pixels[...] = frame
        sent = [triton_client.submit_people_frame(shared) for _ in range(6)]
    answers = [future.result() for future in sent]
    for answer in answers:
        require_same(answer, answers[0], within_px=0.0)
