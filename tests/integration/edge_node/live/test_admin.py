"""The socket of those who run a node, before a node that keeps them waiting."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_node.cameras.errors import SourceError
from edge_node.journal.errors import JournalFullError
from edge_node.live.admin import AdminServer
from edge_node.live.manage import NodeClient
from tipoff.errors import InvalidInputError, UnavailableError
from tipoff.v1 import node_pb2 as pb
from tipoff.v1 import node_pb2_grpc

WITHIN_S = 20.0
PATH = b"/games/\xff/cam1.mp4"


class SlowNode:
    """A node whose cameras take their time to go: until somebody ends the session."""

    newest_sequence = 0

    def __init__(self) -> None:
        self.removing, self.ended = threading.Event(), threading.Event()
        self.was_ended = False

    def remove_camera(self, _name: str) -> None:
        """Wait for the end."""
        self.removing.set()
        self.was_ended = self.ended.wait(WITHIN_S)

    def end_session(self, _reason: str) -> None:
        """End."""
        self.ended.set()


class FullDisk:
    """A node whose disk takes nothing."""

    def set_officials(self, *, off: bool, reason: str) -> None:
        """Fail."""
        raise JournalFullError("the disk is full: prune older sessions")

    def put_camera(self, _name: str, _source: str) -> None:
        """Name a path whose bytes are no UTF-8."""
        raise SourceError(f"{os.fsdecode(PATH)} cannot be read")


def test_a_node_that_cannot_is_not_called_one_that_does_not_answer(tmp_path: Path) -> None:
    node: Any = FullDisk()
    admin = AdminServer.on_socket(node, tmp_path / "admin.sock")
    try:
        with NodeClient(admin.start()) as client:
            with pytest.raises(UnavailableError) as caught:
                client.set_officials(off=True, reason="rain")
            with pytest.raises(InvalidInputError, match="cannot be read"):
                client.put_camera("cam1", "cam1.mp4")
    finally:
        admin.stop()
    assert caught.value.message == f"{client.address}: the disk is full: prune older sessions"
    with NodeClient(client.address) as late, pytest.raises(UnavailableError, match="is it running"):
        late.status()


def test_a_call_that_waits_keeps_nobody_else(tmp_path: Path) -> None:
    node: Any = SlowNode()
    admin = AdminServer.on_socket(node, tmp_path / "admin.sock")
    try:
        with grpc.insecure_channel(admin.start()) as channel:
            stub = node_pb2_grpc.NodeServiceStub(channel)
            request = pb.RemoveCameraRequest(camera="cam01")
            removing = stub.RemoveCamera.future(request, timeout=2 * WITHIN_S)
            assert node.removing.wait(WITHIN_S)
            stub.EndSession(pb.EndSessionRequest(reason="rain"), timeout=2 * WITHIN_S)
            removing.result(2 * WITHIN_S)
    finally:
        admin.stop()
    assert node.was_ended, "the session could only be ended once the camera had gone"
