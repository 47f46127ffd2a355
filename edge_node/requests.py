"""What clients send, out of the bytes that came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import DecodeError

from tipoff.errors import InvalidInputError
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")


def parse(kind: type[M], raw: bytes) -> M:
    """Read a message.

    Raises:
        InvalidInputError: The bytes are none of its kind.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise InvalidInputError(
            f"{len(raw)} bytes came that are no {kind.DESCRIPTOR.full_name}: send what the "
            "contract, tracking.proto, says"
        ) from None


async def read_request(
    context: grpc.aio.ServicerContext[Any, bytes],
) -> pb.StreamTracksRequest | None:
    """Wait for a stream's next request; None: there are no more.

    Raises:
        InvalidInputError: What came is no request.
    """
    raw = await context.read()
    return parse(pb.StreamTracksRequest, raw) if isinstance(raw, bytes) else None
