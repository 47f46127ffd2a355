"""Calling the models in Triton: typed, with a deadline on every call, frames in shared memory.

    with InferenceClient("127.0.0.1:8001") as client:
        people = client.people_frame(frame)                      # frame: uint8 (H, W, 3) RGB
        with client.frame(height, width) as shared:              # without a copy:
            image.rgb_into(shared.pixels)
            found = client.submit_people_frame(shared)           # several at once
            posed = client.submit_pose_crops(shared, boxes)
            print(found.result().keypoints, posed.result())

One client may be used by any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from triton_models import wire
from triton_models.errors import BadRequestError
from triton_models.registering import ServerRegistrar
from triton_models.sending import Call, Sending
from triton_models.slots import CHANNELS, SharedFrame, SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from triton_models.sending import Result

MAX_SLOTS = 256


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client calls."""

    deadline_s: float = 10.0
    """How long an answer may take, waiting for a slot not included."""
    slot_wait_s: float = 10.0
    """How long to wait for a free slot."""
    slots: int = 8
    """Frames that may be in shared memory at once."""
    shared_memory: bool = True
    """Frames by shared memory; False sends their bytes, for a server on another machine."""


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """How to look for people in a frame; None leaves it to the model's configuration."""

    region: tuple[float, float, float, float] | None = None
    """The part to look at, x0, y0, x1, y1 in source pixels; None is the whole frame."""
    input_width: int | None = None
    """Width of the model's input in pixels, a multiple of 32."""
    input_height: int | None = None
    """Height of the model's input in pixels, a multiple of 32."""
    threshold: float | None = None
    """Least score of a person, 0 to 1."""


@dataclass(frozen=True, slots=True)
class People:
    """The people found in one picture, in its source pixels."""

    boxes_px: NDArray[np.float32]
    """(N, 4): x0, y0, x1, y1."""
    keypoints: NDArray[np.float32]
    """(N, J, 3): u, v and confidence 0 to 1."""
    scores: NDArray[np.float32]
    """(N,): how sure the model is of each person, 0 to 1."""


class InferenceClient:
    """A connection to one server.

    Args:
        address: ``host:port`` of its gRPC port.
        options: Deadlines, slots and the way of the frames.
    """

    def __init__(self, address: str, options: ClientOptions | None = None) -> None:
        self.address = address
        self.options = options or ClientOptions()
        assert 0 < self.options.slots <= MAX_SLOTS, self.options.slots
        self._channel = wire.open_channel(address)
        self.stub = wire.open_stub(self._channel)
        self.rescue = ThreadPoolExecutor(1, thread_name_prefix="tipoff-rescue")
        self._slots = SlotPool(self.options.slots, ServerRegistrar(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def hang_up(self) -> None:
        """Cancel what is in flight, without a word more to a server that does not answer.

        Nothing can be sent any more, and the server keeps its names of our memory. It is to be
        closed all the same.
        """
        self._channel.close()

    def close(self) -> None:
        """Give the shared memory back and hang up; what is in flight is cancelled."""
        self.rescue.shutdown(wait=True)
        self._slots.close()
        self._channel.close()

    def frame(self, height: int, width: int) -> SharedFrame:
        """Lease a frame in shared memory, to be written and then sent any number of times.

        Args:
            height: Rows.
            width: Columns.

        Raises:
            SlotsBusyError: no slot became free within ``slot_wait_s``.
        """
        return self._slots.lease(height, width, self.options.slot_wait_s)

    def people_frame(
        self,
        frame: NDArray[np.uint8] | SharedFrame,
        query: PeopleQuery | None = None,
        deadline_s: float | None = None,
    ) -> People:
        """Find and pose the people of a frame.

        Args:
            frame: uint8 (H, W, 3) RGB, or a leased frame.
            query: Where and how to look.
            deadline_s: How long the answer may take, by default the client's.

        Raises:
            BadRequestError: the model refuses the frame or the query, and says why.
            CallTimedOutError: no answer in time.
            ServerUnavailableError: no server, or the model's process has died.
        """
        return self.submit_people_frame(frame, query, deadline_s).result()

    def submit_people_frame(
        self,
        frame: NDArray[np.uint8] | SharedFrame,
        query: PeopleQuery | None = None,
        deadline_s: float | None = None,
    ) -> Future[People]:
        """Send what ``people_frame`` sends and return at once; the future raises its errors."""
        query = query or PeopleQuery()
        region = _box_array(query.region) if query.region is not None else None
        extra = [] if region is None else [wire.ArrayInput("REGION", region)]
        call = Call("people_frame", extra, _set_only(query), self._deadline(deadline_s))
        return self._send_frame(frame, call, _read_people)

    def pose_crops(
        self,
        frame: NDArray[np.uint8] | SharedFrame,
        boxes_px: NDArray[np.float32],
        pose_model: str | None = None,
        deadline_s: float | None = None,
    ) -> NDArray[np.float32]:
        """Pose the person in each box of a frame.

        Args:
            frame: uint8 (H, W, 3) RGB, or a leased frame.
            boxes_px: float32 (N, 4): x0, y0, x1, y1 in source pixels.
            pose_model: "lightning", "thunder" or an added one; None is the server's default.
            deadline_s: How long the answer may take, by default the client's.

        Returns:
            float32 (N, J, 3): u, v in source pixels and confidence 0 to 1.

        Raises:
            BadRequestError: a box that is no box, or a model that was never pulled.
            CallTimedOutError: no answer in time.
            ServerUnavailableError: no server, or the model's process has died.
        """
        return self.submit_pose_crops(frame, boxes_px, pose_model, deadline_s).result()

    def submit_pose_crops(
        self,
        frame: NDArray[np.uint8] | SharedFrame,
        boxes_px: NDArray[np.float32],
        pose_model: str | None = None,
        deadline_s: float | None = None,
    ) -> Future[NDArray[np.float32]]:
        """Send what ``pose_crops`` sends and return at once; the future raises its errors."""
        parameters: dict[str, str | int | float] = {}
        if pose_model is not None:
            parameters["pose_model"] = pose_model
        boxes = wire.ArrayInput("BOXES", np.asarray(boxes_px, np.float32))
        call = Call("pose_crops", [boxes], parameters, self._deadline(deadline_s))
        return self._send_frame(frame, call, _read_poses)

    def people_jpeg(self, data: bytes, deadline_s: float | None = None) -> People:
        """Find and pose the people of a JPEG.

        Args:
            data: The file's bytes.
            deadline_s: How long the answer may take, by default the client's.

        Raises:
            BadRequestError: it is no JPEG that can be used, and why.
        """
        image = wire.ArrayInput("IMAGE", np.frombuffer(data, np.uint8))
        call = Call("people_jpeg", [image], {}, self._deadline(deadline_s))
        return self._send(call, [], _read_people, None).result()

    def _deadline(self, deadline_s: float | None) -> float:
        return self.options.deadline_s if deadline_s is None else deadline_s

    def _send_frame(
        self,
        frame: NDArray[np.uint8] | SharedFrame,
        call: Call,
        read: Callable[[Any], Result],
    ) -> Future[Result]:
        """Send a call whose first input is the frame."""
        if isinstance(frame, SharedFrame):
            return self._send(call, [_region_input(frame)], read, frame)
        frame = _checked_frame(frame)
        if not self.options.shared_memory:
            return self._send(call, [wire.ArrayInput("FRAME", frame)], read, None)
        with self.frame(frame.shape[0], frame.shape[1]) as shared:
            shared.pixels[...] = frame
            return self._send(call, [_region_input(shared)], read, shared)

    def _send(
        self,
        call: Call,
        inputs: list[wire.ArrayInput | wire.RegionInput],
        read: Callable[[Any], Result],
        shared: SharedFrame | None,
    ) -> Future[Result]:
        """Send a request; a frame's slot is held until the answer."""
        request = wire.build_request(call.model, [*inputs, *call.inputs], call.parameters)
        if shared is not None:
            shared.pool.hold(shared.slot)
        sending = Sending(self, call, request, read, shared)
        sending.start()
        return sending.future


def _checked_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != CHANNELS:
        raise BadRequestError(
            f"a frame is uint8 (height, width, 3) RGB, this is {frame.dtype} "
            f"{list(frame.shape)}: convert it first"
        )
    return frame


def _region_input(shared: SharedFrame) -> wire.RegionInput:
    pixels = shared.pixels
    return wire.RegionInput("FRAME", "UINT8", pixels.shape, shared.region, pixels.nbytes)


def _box_array(box: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.asarray(box, np.float32)


def _set_only(query: PeopleQuery) -> dict[str, str | int | float]:
    names = ("input_width", "input_height", "threshold")
    values = {name: getattr(query, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _read_people(outputs: dict[str, NDArray[Any]]) -> People:
    return People(outputs["BOXES"], outputs["KEYPOINTS"], outputs["SCORES"])


def _read_poses(outputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    return outputs["KEYPOINTS"]
