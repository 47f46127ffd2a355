"""NodeService: for those who run the node, on a socket that only they reach."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc
import structlog

from edge_node.encoding import (
    build_availability,
    build_camera,
    build_degradations,
    build_journal_head,
    plain,
)
from edge_node.endings import abort
from edge_node.loop import in_thread, run_in_loop
from tipoff.errors import ConflictError, InternalError, TipoffError
from tipoff.v1 import node_pb2 as pb
from tipoff.v1 import node_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from edge_node.cameras.place import CameraStatus
    from edge_node.description import SignedHead
    from edge_node.frames import NodeState

START_WITHIN_S = 10.0
STOP_WITHIN_S = 2.0
MAX_REQUEST_BYTES = 64 * 1024
OWNER_ONLY = 0o600

Request = TypeVar("Request")
Response = TypeVar("Response")


class Administered(Protocol):
    """What can be asked of a node."""

    name: str
    session: str

    @property
    def epoch(self) -> int:
        """Epoch in which it writes."""

    @property
    def ready(self) -> bool:
        """Whether it may be followed."""

    @property
    def waits_for(self) -> Sequence[str]:
        """What it waits for, in words."""

    @property
    def newest_sequence(self) -> int:
        """Newest sequence of the live stream."""

    @property
    def state(self) -> NodeState:
        """How it does."""

    @property
    def subscribers(self) -> int:
        """Open streams."""

    @property
    def sustainable_rate_hz(self) -> float:
        """Frame-sets a second that this machine can do; 0: not measured."""

    def cameras(self) -> Sequence[CameraStatus]:
        """Its cameras."""

    def head(self) -> SignedHead:
        """Newest signed head of its journal."""

    def put_camera(self, name: str, source: str) -> None:
        """Attach a source."""

    def remove_camera(self, name: str) -> None:
        """Take a source away."""

    def set_officials(self, *, off: bool, reason: str) -> NodeState:
        """Turn the availability off, or leave it to the rules."""

    def end_session(self, reason: str) -> None:
        """End the session for good."""


def _answers(
    method: Callable[[Any, Request], Response],
) -> Callable[[Any, Request, grpc.aio.ServicerContext[Any, Any]], Awaitable[Response]]:
    """Make a call of a method, its errors those of the contract."""

    @functools.wraps(method)
    async def call(
        self: NodeService, request: Request, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Response:
        try:
            # Cameras and disks may keep it waiting: the loop serves every stream.
            return await in_thread(lambda: method(self, request))
        except TipoffError as error:
            await abort(context, error)
            raise
        except Exception:
            structlog.get_logger(__name__).exception("a call of the node failed")
            await abort(context, InternalError("the node failed: its log says how"))
            raise

    return call


class NodeService(node_pb2_grpc.NodeServiceServicer):
    """Translates between the wire and the node."""

    def __init__(self, node: Administered) -> None:
        self._node = node

    @_answers
    def GetStatus(self, _request: pb.GetStatusRequest) -> pb.GetStatusResponse:  # noqa: N802
        """Say how the node does."""
        node, state = self._node, self._node.state
        return pb.GetStatusResponse(
            node=node.name,
            session=node.session,
            epoch=node.epoch,
            ready=node.ready,
            waits_for=node.waits_for,
            newest_sequence=node.newest_sequence,
            cameras=[_camera(status) for status in node.cameras()],
            availability=build_availability(state.availability) if state.availability else None,
            degradations=build_degradations(state),
            journal_head=build_journal_head(node.head()),
            subscribers=node.subscribers,
            sustainable_rate_hz=node.sustainable_rate_hz,
        )

    @_answers
    def PutCamera(self, request: pb.PutCameraRequest) -> pb.PutCameraResponse:  # noqa: N802
        """Attach a source."""
        self._node.put_camera(request.camera, request.source)
        return pb.PutCameraResponse()

    @_answers
    def RemoveCamera(  # noqa: N802
        self, request: pb.RemoveCameraRequest
    ) -> pb.RemoveCameraResponse:
        """Take a source away."""
        self._node.remove_camera(request.camera)
        return pb.RemoveCameraResponse()

    @_answers
    def SetOfficials(  # noqa: N802
        self, request: pb.SetOfficialsRequest
    ) -> pb.SetOfficialsResponse:
        """Turn the availability off by hand, or leave it to the rules."""
        state = self._node.set_officials(off=request.off, reason=request.reason)
        assert state.availability is not None
        return pb.SetOfficialsResponse(availability=build_availability(state.availability))

    @_answers
    def EndSession(self, request: pb.EndSessionRequest) -> pb.EndSessionResponse:  # noqa: N802
        """End the session for good."""
        self._node.end_session(request.reason)
        return pb.EndSessionResponse(newest_sequence=self._node.newest_sequence)


def _camera(status: CameraStatus) -> pb.CameraStatus:
    dropped = sorted(status.dropped.items())
    return pb.CameraStatus(
        health=build_camera(status.health),
        source=plain(status.source),
        reconnects=status.reconnects,
        dropped=[pb.DroppedFrames(reason=reason, frames=count) for reason, count in dropped],
    )


class AdminServer:
    """Serves a node to those who run it.

    Args:
        node: The node.
        listen: ``unix:PATH`` or host:port.
    """

    def __init__(self, node: Administered, listen: str) -> None:
        self._node, self._listen = node, listen
        self._server: grpc.aio.Server | None = None

    @classmethod
    def on_socket(cls, node: Administered, path: Path) -> AdminServer:
        """Listen on a socket that only this user may open."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.stat().st_mode):
                # The journal's lock has shown that nobody else serves this session.
                path.unlink()
        return cls(node, f"unix:{path}")

    def start(self) -> str:
        """Listen, and return the address.

        Raises:
            ConflictError: The address is taken or cannot be.
        """
        return run_in_loop(self._start(), START_WITHIN_S)

    async def _start(self) -> str:
        options = [("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
        server = grpc.aio.server(options=options)
        node_pb2_grpc.add_NodeServiceServicer_to_server(NodeService(self._node), server)
        before = os.umask(0o777 & ~OWNER_ONLY)
        try:
            port = server.add_insecure_port(self._listen)
        except RuntimeError:
            port = 0
        finally:
            os.umask(before)
        if not port:
            raise ConflictError(
                f"cannot listen on {self._listen}: it is taken, not this machine's, or its path is "
                "too long; give listen.admin another address",
                listen=self._listen,
            )
        await server.start()
        self._server = server
        if self._listen.startswith("unix:"):
            return self._listen
        return f"{self._listen.rpartition(':')[0]}:{port}"

    def stop(self) -> None:
        """Serve no more; a second call does nothing."""
        server, self._server = self._server, None
        if server is not None:
            run_in_loop(self._stop(server), 4 * STOP_WITHIN_S)

    async def _stop(self, server: grpc.aio.Server) -> None:
        await server.stop(STOP_WITHIN_S)
