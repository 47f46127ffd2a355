"""From a gRPC status to an error of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from tipoff.errors import (
    ConflictError,
    DeadlineError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    TipoffError,
    UnavailableError,
)
from tipoff.stream_errors import OverloadedError, SequenceOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Iterable


BROKEN_WRITE = "Internal error from Core"
"""What grpc.aio puts in place of a call's status when a write finds the connection broken."""
_ERRORS: dict[grpc.StatusCode, type[TipoffError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.OUT_OF_RANGE: SequenceOutOfRangeError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: ConflictError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    # Nobody here cancels but the server that stops, or a proxy between.
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.INTERNAL: InternalError,
}


def error_from(
    address: str,
    code: grpc.StatusCode,
    details: str | None,
    trailers: Iterable[tuple[str, str | bytes]] | None,
) -> TipoffError:
    """Turn a status into an error.

    Args:
        address: The server's, for the message.
        code: The status.
        details: What the server or gRPC says.
        trailers: The call's trailing metadata.
    """
    kind = _ERRORS.get(code, TipoffError)
    reason = dict(trailers or ()).get("tipoff-reason")
    said = details or code.name
    if reason is None and kind is UnavailableError:
        said = f"no Tipoff server answers ({said}): is it running, and is the address right?"
    ids: dict[str, object] = {"address": address, "grpc_status": code.name}
    if reason is not None:
        ids["reason"] = reason
    return kind(f"{address}: {said}", **ids)


def translate(address: str, error: grpc.RpcError) -> TipoffError:
    """Give gRPC's error as one of ours, whichever of its two clients it comes from."""
    # Pairs in both clients, whatever their types are called.
    trailers: Any = error.trailing_metadata() or ()
    code = error.code()
    if error.details() == BROKEN_WRITE:
        code = grpc.StatusCode.UNAVAILABLE
    said = [(str(key), value) for key, value in trailers]
    return error_from(address, code, error.details(), said)
