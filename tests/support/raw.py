"""A subscriber with the bare stubs, as any language has them."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from tipoff.v1 import tracking_pb2 as pb
from tipoff.v1 import tracking_pb2_grpc

DEADLINE_S = 20.0
"""Deadline of every call."""


@dataclass(frozen=True)
class Failure:
    """How a stream ended in an error."""

    code: grpc.StatusCode
    words: str
    trailers: dict[str, str]
    before: list[pb.StreamTracksResponse]
    """What came before it."""


class Raw:
    """A client without any help: it says what it is told to and nothing else."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.heartbeats: list[pb.Heartbeat] = []
        self._requests: queue.SimpleQueue[pb.StreamTracksRequest | None] = queue.SimpleQueue()
        stub = tracking_pb2_grpc.TrackingServiceStub(channel)
        self.call = stub.StreamTracks(iter(self._requests.get, None), timeout=DEADLINE_S)

    def subscribe(self, **wish: object) -> Raw:
        subscribe = pb.Subscribe(**wish)  # type: ignore[arg-type]
        self._requests.put(pb.StreamTracksRequest(subscribe=subscribe))
        return self

    def acknowledge(self, sequence: int, epoch: int = 0) -> None:
        acknowledge = pb.Acknowledge(sequence=sequence, epoch=epoch)
        self._requests.put(pb.StreamTracksRequest(acknowledge=acknowledge))

    def say(self, request: pb.StreamTracksRequest) -> None:
        self._requests.put(request)

    def next(self) -> pb.StreamTracksResponse:
        """Give the next message that is no heartbeat."""
        while (response := next(self.call)).HasField("heartbeat"):
            self.heartbeats.append(response.heartbeat)
        return response

    def beat(self) -> pb.Heartbeat:
        """Give the next heartbeat, which must be the next message."""
        response = next(self.call)
        assert response.HasField("heartbeat"), response
        return response.heartbeat

    def header(self) -> pb.Header:
        return self.next().header

    def rest(self) -> list[pb.StreamTracksResponse]:
        """Read to the proper end, acknowledging as it goes; heartbeats are put aside."""
        responses = []
        for response in self.call:
            if response.HasField("heartbeat"):
                self.heartbeats.append(response.heartbeat)
                continue
            responses.append(response)
            if response.HasField("snapshot"):
                self.acknowledge(response.snapshot.sequence, response.snapshot.epoch)
        return responses

    def fail(self) -> Failure:
        """Read to an end that is an error."""
        responses: list[pb.StreamTracksResponse] = []
        with pytest.raises(grpc.RpcError) as caught:
            _drain(self.call, responses)
        error = caught.value
        trailers = {item.key: str(item.value) for item in error.trailing_metadata()}
        return Failure(error.code(), error.details() or "", trailers, responses)

    def failure(self) -> tuple[grpc.StatusCode, str, dict[str, str]]:
        """Read to an end that is an error: its status, its words, its trailers."""
        failure = self.fail()
        return failure.code, failure.words, failure.trailers

    def close(self) -> None:
        self._requests.put(None)
        self.call.cancel()


def _drain(
    call: Iterator[pb.StreamTracksResponse], responses: list[pb.StreamTracksResponse]
) -> None:
    for response in call:
        if not response.HasField("heartbeat"):
            responses.append(response)


@contextlib.contextmanager
def talking(address: str) -> Iterator[Raw]:
    with grpc.insecure_channel(address) as channel:
        raw = Raw(channel)
        try:
            yield raw
        finally:
            raw.close()
