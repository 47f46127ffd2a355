"""`tipoff node status|camera|officials|end`: asks a running node through its own socket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format

from edge_node.live.node import SOCKET
from tipoff.status import translate
from tipoff.v1 import node_pb2 as pb
from tipoff.v1 import node_pb2_grpc, tracking_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_node.live.settings import SessionSettings

CALL_WITHIN_S = 10.0
"""How long a node may take to answer."""


def address_of(settings: SessionSettings) -> str:
    """Give the address of a session's node, as its file declares it."""
    return settings.listen.admin or f"unix:{settings.state / SOCKET}"


class NodeClient:
    """Talks to a node. Close it, or use ``with``.

    Args:
        address: ``unix:PATH`` or host:port.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address)
        self._stub = node_pb2_grpc.NodeServiceStub(self._channel)

    def status(self) -> pb.GetStatusResponse:
        """Ask how it does."""
        answer: pb.GetStatusResponse = self._call(self._stub.GetStatus, pb.GetStatusRequest())
        return answer

    def put_camera(self, name: str, source: str) -> None:
        """Attach a source to a camera."""
        self._call(self._stub.PutCamera, pb.PutCameraRequest(camera=name, source=source))

    def remove_camera(self, name: str) -> None:
        """Take a camera's source away."""
        self._call(self._stub.RemoveCamera, pb.RemoveCameraRequest(camera=name))

    def set_officials(self, *, off: bool, reason: str = "") -> tracking_pb2.Availability:
        """Turn the availability for officials off, or leave it to the rules."""
        request = pb.SetOfficialsRequest(off=off, reason=reason)
        answer: pb.SetOfficialsResponse = self._call(self._stub.SetOfficials, request)
        return answer.availability

    def end_session(self, reason: str) -> int:
        """End the session for good; returns the newest sequence of the live stream."""
        answer: pb.EndSessionResponse = self._call(
            self._stub.EndSession, pb.EndSessionRequest(reason=reason)
        )
        return answer.newest_sequence

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call, and raise the error that the node means.

        Raises:
            TipoffError: As the node says; UnavailableError where none answers.
        """
        try:
            return method(request, timeout=CALL_WITHIN_S)
        except grpc.RpcError as error:
            raise translate(self.address, error) from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def describe_status(status: pb.GetStatusResponse) -> Iterator[str]:
    """Say in lines how a node does."""
    ready = "ready" if status.ready else f"not ready ({'; '.join(status.waits_for)})"
    yield f"node {status.node}, session {status.session}, epoch {status.epoch}: {ready}"
    yield f"newest snapshot {status.newest_sequence}, {status.subscribers} subscribers"
    availability = status.availability
    state = _word(tracking_pb2.AvailabilityState.Name(availability.state), "AVAILABILITY_STATE_")
    yield f"officials: {state}{': ' if availability.detail else ''}{availability.detail}"
    for degradation in status.degradations:
        yield f"degraded: {degradation.detail}"
    for camera in status.cameras:
        yield _camera_line(camera)
    if status.HasField("journal_head"):
        head = status.journal_head
        age_s = (time.time_ns() - head.signed_ns) / 1e9
        yield f"journal: record {head.record}, {head.hash.hex()[:16]}..., signed {age_s:.1f} s ago"


def _camera_line(camera: pb.CameraStatus) -> str:
    health = camera.health
    state = _word(tracking_pb2.CameraState.Name(health.state), "CAMERA_STATE_")
    parts = [f"camera {health.name}: {state}"]
    if health.detail:
        parts.append(health.detail)
    if health.left_out:
        parts.append("left out")
    clock = _word(tracking_pb2.CaptureClock.Name(health.clock), "CAPTURE_CLOCK_")
    parts.append(f"{clock} clock, jitter {health.clock_jitter_ns / 1e6:.1f} ms")
    dropped = [f"{one.frames} {one.reason}" for one in camera.dropped]
    parts.append(f"{health.frames} frames" + (f", dropped {', '.join(dropped)}" if dropped else ""))
    if camera.source:
        parts.append(camera.source)
    return "; ".join(parts)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def status_json(status: pb.GetStatusResponse) -> dict[str, Any]:
    """Give a status as JSON, as the contract names its fields."""
    told: dict[str, Any] = json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return told
