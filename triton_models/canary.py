"""Health that tells the truth: a small request to every model.

A server whose models' processes have died still says READY, so nothing less is believed.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from triton_models import wire

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tipoff.errors import TipoffError

SIDE_PX = 64
LIVE_S = 2.0

Inputs = list[wire.ArrayInput | wire.RegionInput]
Parameters = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Health:
    """How a model answered its canary."""

    model: str
    """The model's name."""
    error: TipoffError | None
    """Why it is broken, None when it answered."""
    latency_ms: float
    """How long the answer took."""

    @property
    def healthy(self) -> bool:
        """Whether it answered."""
        return self.error is None


def probe(address: str, model: str, deadline_s: float) -> Health:
    """Send one canary to a model and wait for its answer.

    Args:
        address: ``host:port`` of the server's gRPC port.
        model: One of ``CANARIES``.
        deadline_s: How long the answer may take.
    """
    inputs, parameters = CANARIES[model]()
    started = time.perf_counter()
    error = None
    with wire.open_channel(address) as channel:
        stub = wire.open_stub(channel)
        try:
            request = wire.build_request(model, inputs, parameters)
            wire.read_outputs(stub.ModelInfer(request, timeout=deadline_s))
        except grpc.RpcError as problem:
            error = wire.translate_error(problem, address, model)
    return Health(model, error, (time.perf_counter() - started) * 1e3)


def answers(address: str) -> bool:
    """Tell whether a server listens and is live, which says nothing about its models.

    Args:
        address: ``host:port`` of its gRPC port.
    """
    with wire.open_channel(address) as channel:
        try:
            reply = wire.open_stub(channel).ServerLive(
                service_pb2.ServerLiveRequest(), timeout=LIVE_S
            )
        except grpc.RpcError:
            return False
    return bool(reply.live)


def is_known(model: str) -> bool:
    """Tell whether there is a canary for a model."""
    return model in CANARIES


def _jpeg() -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(_TINY_JPEG), np.uint8)


def _frame() -> wire.ArrayInput:
    return wire.ArrayInput("FRAME", np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))


def _people_jpeg() -> tuple[Inputs, Parameters]:
    return [wire.ArrayInput("IMAGE", _jpeg())], {}


def _jpeg_check() -> tuple[Inputs, Parameters]:
    return [wire.ArrayInput("IMAGE", _jpeg())], {}


def _heads() -> tuple[Inputs, Parameters]:
    return [wire.ArrayInput("image", np.zeros((1, SIDE_PX, SIDE_PX, 3), np.float32))], {}


def _people_decode() -> tuple[Inputs, Parameters]:
    cells = SIDE_PX // 4
    depths = {"heat": 17, "center": 1, "regress": 34, "offset": 34, "scale": 2, "boxoff": 2}
    inputs: Inputs = [
        wire.ArrayInput(name, np.zeros((1, cells, cells, depth), np.float32))
        for name, depth in depths.items()
    ]
    shape = wire.ArrayInput("source_shape", np.array([[SIDE_PX, SIDE_PX, 3]], np.int64))
    return [*inputs, shape], {}


def _people_frame() -> tuple[Inputs, Parameters]:
    return [_frame()], {"input_width": SIDE_PX, "input_height": SIDE_PX}


def _pose_crops() -> tuple[Inputs, Parameters]:
    box = np.array([[8, 8, SIDE_PX - 8, SIDE_PX - 8]], np.float32)
    return [_frame(), wire.ArrayInput("BOXES", box)], {}


CANARIES: dict[str, Callable[[], tuple[Inputs, Parameters]]] = {
    "jpeg_check": _jpeg_check,
    "jpeg_letterbox": _people_jpeg,
    "people_heads": _heads,
    "people_decode": _people_decode,
    "people_jpeg": _people_jpeg,
    "people_frame": _people_frame,
    "pose_crops": _pose_crops,
    "thunder_heads": _heads,
    "lightning_heads": _heads,
}
"""A small request for each model, those inside an ensemble first."""

_TINY_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1td"
    "hbWGkJ6jq62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
    "pKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCABAAEADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAT/xAAUEAEA"
    "AAAAAAAAAAAAAAAAAAAA/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhED"
    "EQA/AJAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAf/2Q=="
)
"""64x64 px of grey."""
