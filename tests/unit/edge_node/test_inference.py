"""Frames become requests: scaled once, padded to the stride, and back in source pixels."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from edge_node.frames import CameraFrame
from edge_node.inference import STRIDE_PX, Detect, Inference, PoseCrops, PoseRegion
from edge_node.pictures import ArrayPicture
from tipoff.errors import UnavailableError
from triton_models.client import People, PeopleQuery

J = 17
WIDTH, HEIGHT = 200, 120


class Slot:
    """A leased frame."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.full((height, width, 3), 77, np.uint8)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None: ...


class Client:
    """Finds one person, all joints at a given place of the frame that it was sent."""

    def __init__(self, error: Exception | None = None) -> None:
        self.slots: list[Slot] = []
        self.queries: list[PeopleQuery | None] = []
        self.boxes: list[Any] = []
        self.error = error

    def frame(self, height: int, width: int) -> Any:
        self.slots.append(Slot(height, width))
        return self.slots[-1]

    def submit_people_frame(self, _frame: Any, query: PeopleQuery | None = None) -> Any:
        self.queries.append(query)
        keypoints = np.full((1, J, 3), 9.5, np.float32)
        return self._answer(People(np.zeros((1, 4), np.float32), keypoints, np.ones(1, np.float32)))

    def submit_pose_crops(self, _frame: Any, boxes_px: Any, pose_model: str | None = None) -> Any:
        self.boxes.append((boxes_px, pose_model))
        return self._answer(np.full((len(boxes_px), J, 3), 0.5, np.float32))

    def _answer(self, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(value)
        return future


def frame() -> CameraFrame:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2] = 255
    return CameraFrame(0, "cam", 0, 0, ArrayPicture(pixels))


def ask(client: Client, *tasks: Any) -> Any:
    inference = Inference(client, J, 0.15)
    try:
        return inference.submit(frame(), tasks).result()
    finally:
        inference.close()


def test_a_search_scales_the_frame_to_the_input_and_pads_it_with_black() -> None:
    client = Client()
    found = ask(client, Detect(0.5, (96, 64)))
    (slot,) = client.slots
    assert slot.pixels.shape == (64, 128, 3)
    assert slot.pixels[:60, :50].min() == 255
    assert slot.pixels[:60, 51:].max() == 0
    assert slot.pixels[60:].max() == 0
    assert client.queries == [PeopleQuery(None, 96, 64, 0.15)]
    # 9.5 in a frame half as large: its edge coordinate 10 lies at 20, the pixel centre 19.5.
    assert found.keypoints[0, 0].tolist() == [19.5, 19.5, 9.5]
    assert found.scores.tolist() == [1.0]


def test_a_region_is_asked_about_in_pixels_of_the_scaled_frame() -> None:
    client = Client()
    ask(client, PoseRegion(0.5, (32, 0, 96, 32)))
    assert client.queries == [PeopleQuery((32.0, 0.0, 96.0, 32.0), 64, 32, 0.15)]
    assert all(side % STRIDE_PX == 0 for side in client.slots[0].pixels.shape[:2])


def test_crops_are_scaled_with_their_frame() -> None:
    client = Client()
    boxes = np.array([[10, 20, 50, 100], [0, 0, 20, 40]], np.float32)
    found = ask(client, PoseCrops(0.5, boxes, "thunder"))
    ((sent, model),) = client.boxes
    assert model == "thunder"
    assert sent.dtype == np.float32
    assert np.allclose(sent, boxes / 2)
    assert found.keypoints[1, 3].tolist() == [1.5, 1.5, 0.5]
    assert found.scores.tolist() == [0.5, 0.5]


def test_tasks_of_one_scale_share_a_slot_and_answers_keep_the_order_of_the_tasks() -> None:
    client = Client()
    boxes = np.array([[10, 20, 50, 100]], np.float32)
    found = ask(
        client,
        PoseRegion(0.5, (0, 0, 32, 32), (2,)),
        PoseCrops(0.25, boxes, "lightning", (0,)),
        PoseRegion(0.5, (32, 0, 64, 32), (1,)),
    )
    assert len(client.slots) == 2
    assert found.requests.tolist() == [0, 1, 2]
    assert found.keypoints[:, 0, 0].tolist() == [19.5, 3.5, 19.5]


def test_no_frame_is_enlarged() -> None:
    client = Client()
    ask(client, PoseCrops(3.0, np.array([[0, 0, 9, 9]], np.float32), "thunder"))
    assert client.slots[0].pixels.shape == (128, 224, 3)


def test_an_error_of_the_client_is_raised() -> None:
    with pytest.raises(UnavailableError, match="gone"):
        ask(Client(UnavailableError("gone")), Detect(0.5, (96, 64)))


def test_seconds_are_counted_by_stage() -> None:
    client = Client()
    inference = Inference(client, J, 0.15)
    inference.submit(frame(), [Detect(0.5, (96, 64))]).result()
    inference.submit(frame(), [PoseRegion(0.5, (0, 0, 32, 32))]).result()
    inference.close()
    assert inference.times.counts == {"convert": 2, "detect": 1, "pose": 1}
