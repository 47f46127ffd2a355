"""Two layouts of one snapshot: packed arrays, as the contract has them, and a message a joint.

The second is what one writes down first: a track holds joints, a joint its numbers. It is made here
from a description at run time, with the same first fields, so that a subscriber finds the time in
either without decoding it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from edge_node.encoding import UPPER_TRIANGLE, encode_snapshot
from tipoff.reading import read_snapshot
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    from edge_node.frames import TrackedFrame

Encode = Callable[["TrackedFrame", int, int], bytes]
"""From a frame, its sequence and now in ns to a message."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_NUMBERS = ("x_m", "y_m", "z_m", "xx_m2", "xy_m2", "xz_m2", "yy_m2", "yz_m2", "zz_m2", "confidence")
_HEAD = ("epoch", "sequence", "time_ns", "sent_ns")


def packed(frame: TrackedFrame, sequence: int, now_ns: int) -> bytes:
    """Encode as the hub does."""
    return encode_snapshot(frame, 1, sequence, now_ns)


def packed_by_protobuf(frame: TrackedFrame, sequence: int, now_ns: int) -> bytes:
    """Encode the same message through Python lists, as protobuf's own interface wants them."""
    tracks = frame.snapshot
    triangles = tracks.covariance_m2.reshape(-1, 9)[:, UPPER_TRIANGLE]
    message = pb.Snapshot(
        epoch=1,
        sequence=sequence,
        time_ns=frame.time_ns,
        sent_ns=now_ns,
        track_ids=tracks.ids.tolist(),
        joints_m=tracks.joints_m.ravel().tolist(),
        covariance_m2=triangles.ravel().tolist(),
        confidence=tracks.confidence.ravel().tolist(),
        views=tracks.views.ravel().tolist(),
    )
    return pb.StreamTracksResponse(snapshot=message).SerializeToString()


def _describe() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="tipoff/bench/nested.proto", package="tipoff.bench", syntax="proto3"
    )
    joint = file.message_type.add(name="Joint")
    for number, name in enumerate(_NUMBERS, 1):
        joint.field.add(name=name, number=number, type=_FIELD.TYPE_FLOAT, label=1)
    joint.field.add(name="views", number=11, type=_FIELD.TYPE_UINT32, label=1)
    track = file.message_type.add(name="Track")
    track.field.add(name="id", number=1, type=_FIELD.TYPE_INT64, label=1)
    _repeat(track, "joints", 2, "Joint")
    snapshot = file.message_type.add(name="Snapshot")
    for number, name in enumerate(_HEAD, 1):
        snapshot.field.add(name=name, number=number, type=_FIELD.TYPE_INT64, label=1)
    _repeat(snapshot, "tracks", 5, "Track")
    response = file.message_type.add(name="Response")
    response.field.add(
        name="snapshot",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        label=1,
        type_name=".tipoff.bench.Snapshot",
    )
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tipoff.bench.Response"))


def _repeat(message: Any, name: str, number: int, kind: str) -> None:
    message.field.add(
        name=name,
        number=number,
        type=_FIELD.TYPE_MESSAGE,
        label=3,
        type_name=f".tipoff.bench.{kind}",
    )


_Response = _describe()


def nested(frame: TrackedFrame, sequence: int, now_ns: int) -> bytes:
    """Encode with a message for each joint."""
    tracks = frame.snapshot
    triangles = tracks.covariance_m2.reshape(*tracks.confidence.shape, 9)[..., UPPER_TRIANGLE]
    numbers = np.concatenate(
        [tracks.joints_m, triangles, tracks.confidence[..., None]], axis=-1
    ).tolist()
    response = _Response()
    snapshot = response.snapshot
    snapshot.epoch, snapshot.sequence = 1, sequence
    snapshot.time_ns, snapshot.sent_ns = frame.time_ns, now_ns
    for index, identity in enumerate(tracks.ids.tolist()):
        track = snapshot.tracks.add(id=identity)
        for values, views in zip(numbers[index], tracks.views[index].tolist(), strict=True):
            track.joints.add(views=views, **dict(zip(_NUMBERS, values, strict=True)))
    encoded: bytes = response.SerializeToString()
    return encoded


def decode_packed(message: bytes, joints: int) -> float:
    """Decode into arrays as the client library does; return their sum, so that it is done."""
    snapshot = read_snapshot(pb.StreamTracksResponse.FromString(message).snapshot, joints)
    return float(np.nansum(snapshot.joints_m) + np.nansum(snapshot.covariance_m2))


def decode_nested(message: bytes, joints: int) -> float:
    """Decode into the same arrays; return the same sum."""
    tracks = _Response.FromString(message).snapshot.tracks
    values = np.array(
        [[getattr(joint, name) for name in _NUMBERS] for track in tracks for joint in track.joints]
    ).reshape(len(tracks), joints, len(_NUMBERS))
    full = values[..., 3:9][..., (0, 1, 2, 1, 3, 4, 2, 4, 5)]
    return float(np.nansum(values[..., :3]) + np.nansum(full))


LAYOUTS: dict[str, Encode] = {"packed": packed, "nested": nested}
"""What is sent to subscribers."""


def head(message: bytes) -> tuple[int, int, int, int] | None:
    """Read epoch, sequence, time and sending time off a message, whatever its layout.

    Returns:
        None where it is no snapshot.
    """
    if message[0] != 0x12:
        return None
    place, numbers = 1, []
    _, place = _varint(message, place)
    for field in range(1, 5):
        assert message[place] == field << 3, "the head lies first"
        value, place = _varint(message, place + 1)
        numbers.append(value)
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
