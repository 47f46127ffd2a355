"""What cannot be used is refused with a reason, and the next request works."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from tests.support.figures import court_picture, encode_jpeg
from tipoff.errors import InvalidInputError
from triton_models import wire
from triton_models.client import ClientOptions, InferenceClient, PeopleQuery
from triton_models.errors import BadRequestError, CallTimedOutError, NotServedError, SlotsBusyError
from triton_models.server import TritonServer

NAN, INF = float("nan"), float("inf")
GOOD_BOX = (150.0, 66.0, 250.0, 292.0)


def claiming_size(width: int, height: int) -> bytes:
    """Return a JPEG whose header says that it has that size."""
    data = bytearray(encode_jpeg(court_picture()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.fixture(autouse=True)
def next_request_works(triton_client: InferenceClient) -> Iterator[None]:
    """Whatever the test has sent, the next request of each model works."""
    yield
    assert len(triton_client.people_jpeg(encode_jpeg(court_picture())).scores) == 2
    assert len(triton_client.people_frame(court_picture()).scores) == 2
    boxes = np.array([GOOD_BOX], np.float32)
    assert np.isfinite(triton_client.pose_crops(court_picture(), boxes)).any()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the image is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "this is no JPEG"),
        (encode_jpeg(court_picture())[:4000], "truncated"),
        (encode_jpeg(court_picture())[:60], "truncated"),
        (encode_jpeg(court_picture())[:3], "truncated"),
        (encode_jpeg(np.zeros((1, 1, 3), np.uint8)), "1x1 px"),
        (claiming_size(60_000, 60_000), "60000x60000 px"),
        (claiming_size(65_535, 100), "cannot be decoded"),
        (b"\xff\xd8" + bytes(range(200)) + b"\xff\xd9", "damaged"),
    ],
    ids=["empty", "png", "cut", "header", "start", "1x1", "absurd", "lying", "noise"],
)
def test_a_jpeg_that_cannot_be_used(triton_client: InferenceClient, data: bytes, told: str) -> None:
    with pytest.raises(BadRequestError, match=told):
        triton_client.people_jpeg(data)


@pytest.mark.parametrize(
    "box",
    [
        (NAN, 0, 10, 10),
        (0, 0, INF, 10),
        (10, 10, 0, 20),
        (10, 10, 10, 20),
        (0, 0, 1e30, 1e30),
        (-1e9, 0, 10, 10),
    ],
)
def test_a_box_that_is_none(
    triton_client: InferenceClient, box: tuple[float, float, float, float]
) -> None:
    boxes = np.array([GOOD_BOX, box], np.float32)
    with pytest.raises(BadRequestError, match=r"box 1 is .* x0 < x1 and y0 < y1 are needed"):
        triton_client.pose_crops(court_picture(), boxes)


def test_too_many_boxes(triton_client: InferenceClient) -> None:
    boxes = np.tile(np.array([GOOD_BOX], np.float32), (200, 1))
    with pytest.raises(BadRequestError, match="200 boxes are more than"):
        triton_client.pose_crops(court_picture(), boxes)


def test_boxes_of_another_shape(triton_client: InferenceClient) -> None:
    with pytest.raises(BadRequestError, match=r"BOXES"):
        triton_client.pose_crops(court_picture(), np.zeros((2, 3), np.float32))


def test_a_pose_model_that_was_never_pulled(triton_client: InferenceClient) -> None:
    boxes = np.array([GOOD_BOX], np.float32)
    with pytest.raises(BadRequestError, match="tipoff models add"):
        triton_client.pose_crops(court_picture(), boxes, "no-such-model")
    with pytest.raises(BadRequestError, match="cannot name a model"):
        triton_client.pose_crops(court_picture(), boxes, "../../etc/passwd")
    with pytest.raises(BadRequestError, match="reads whole frames"):
        triton_client.pose_crops(court_picture(), boxes, "movenet-multipose")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (PeopleQuery(input_width=100), "input_width is 100 px"),
        (PeopleQuery(input_height=0), "input_height is 0 px"),
        (PeopleQuery(input_width=64_000), "input_width is 64000 px"),
        (PeopleQuery(threshold=NAN), "the threshold is nan"),
        (PeopleQuery(threshold=1.5), "the threshold is 1.5"),
        (PeopleQuery(region=(NAN, 0, 1, 1)), "a region is four finite numbers"),
        (PeopleQuery(region=(9000, 9000, 9100, 9100)), "holds nothing of a frame"),
        (PeopleQuery(region=(50, 50, 10, 10)), "holds nothing of a frame"),
    ],
)
def test_a_query_that_cannot_be(
    triton_client: InferenceClient, query: PeopleQuery, told: str
) -> None:
    with pytest.raises(BadRequestError, match=told):
        triton_client.people_frame(court_picture(), query)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64, 3), np.float32),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
    ],
)
def test_a_frame_that_is_none(triton_client: InferenceClient, frame: NDArray[np.uint8]) -> None:
    with pytest.raises(BadRequestError, match="a frame is uint8"):
        triton_client.people_frame(frame)
    with pytest.raises(BadRequestError, match="FRAME"):
        send_as_it_is(triton_client.address, frame)


def send_as_it_is(address: str, frame: NDArray[np.uint8]) -> None:
    """Send a frame past the client's own checks."""
    request = wire.build_request("people_frame", [wire.ArrayInput("FRAME", frame)])
    with wire.open_channel(address) as channel:
        try:
            wire.open_stub(channel).ModelInfer(request, timeout=10.0)
        except Exception as error:
            raise wire.translate_error(error, address, "people_frame") from error  # type: ignore[arg-type]


def test_frames_too_small_to_hold_anybody(triton_client: InferenceClient) -> None:
    with pytest.raises(BadRequestError, match="1x1 px"):
        triton_client.people_frame(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(InvalidInputError, match="holds nothing"):
        triton_client.people_frame(np.zeros((0, 10, 3), np.uint8))


def test_a_model_that_is_not_served(triton_client: InferenceClient) -> None:
    request = wire.build_request("people_video", [])
    with wire.open_channel(triton_client.address) as channel:
        with pytest.raises(Exception, match="people_video") as caught:
            wire.open_stub(channel).ModelInfer(request, timeout=10.0)
        translated = wire.translate_error(
            caught.value,  # type: ignore[arg-type]
            triton_client.address,
            "people_video",
        )
    assert isinstance(translated, NotServedError)


def test_a_deadline_is_kept(triton_client: InferenceClient) -> None:
    with pytest.raises(CallTimedOutError, match="did not answer in time"):
        triton_client.people_frame(court_picture(), deadline_s=0.001)


def test_more_frames_than_slots(triton_server: TritonServer) -> None:
    options = ClientOptions(slots=1, slot_wait_s=0.05)
    with InferenceClient(triton_server.grpc_address, options) as client:
        with (
            client.frame(64, 64),
            pytest.raises(SlotsBusyError, match="all 1 shared-memory slots"),
        ):
            client.frame(64, 64)
        assert len(client.people_frame(court_picture()).scores) == 2


def test_a_region_of_memory_that_the_server_does_not_know(triton_client: InferenceClient) -> None:
    frame = court_picture()
    with triton_client.frame(*frame.shape[:2]) as shared:
        shared.pixels[...] = frame
        triton_client.stub.SystemSharedMemoryUnregister(
            service_pb2.SystemSharedMemoryUnregisterRequest(name=shared.region), timeout=5.0
        )
        assert len(triton_client.people_frame(shared).scores) == 2
