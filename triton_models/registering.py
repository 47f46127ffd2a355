"""Making the slots of a client's shared memory known to its server, and letting it forget them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from tritonclient.grpc import service_pb2

from triton_models import wire
from triton_models.errors import ServerUnavailableError

if TYPE_CHECKING:
    from tipoff.errors import TipoffError
    from triton_models.client import InferenceClient

UNREGISTER_S = 2.0
"""How long the server may take to forget a region."""
_KNOWN_REGION = "already in manager"


class ServerRegistrar:
    """Registers slots with the client's server.

    Args:
        client: Whose server; its deadline holds for registering.
    """

    def __init__(self, client: InferenceClient) -> None:
        self._client = client
        self._silent = False

    def register(self, region: str, key: str, size: int) -> None:
        """Make a segment known to the server as a region.

        Args:
            region: What the server is to call it.
            key: The segment's name on this machine.
            size: Its bytes.

        Raises:
            CallTimedOutError: no answer in time.
            ServerUnavailableError: no server, or it cannot use this machine's shared memory.
        """
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=region, key=key, offset=0, byte_size=size
        )
        try:
            self._client.stub.SystemSharedMemoryRegister(
                request, timeout=self._client.options.deadline_s
            )
        except grpc.RpcError as error:
            if _KNOWN_REGION in (error.details() or ""):
                return
            raise _registering_failed(error, self._client.address) from error

    def unregister(self, region: str) -> None:
        """Let the server forget a region; a server that is gone has forgotten it."""
        if self._silent:
            return
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=region)
        try:
            self._client.stub.SystemSharedMemoryUnregister(request, timeout=UNREGISTER_S)
        except grpc.RpcError as error:
            # One that hangs is not waited for once a slot.
            self._silent = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        except ValueError:
            return  # how gRPC says that the channel is closed


def _registering_failed(error: grpc.RpcError, address: str) -> TipoffError:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return wire.translate_error(error, address, "the server")
    return ServerUnavailableError(
        f"the server at {address} cannot use this machine's shared memory ({error.details()}): "
        "if it runs elsewhere, send frames as bytes (shared_memory=False)",
        address=address,
    )
