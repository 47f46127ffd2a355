"""One call on its way to the server, sent once more where the server has forgotten our memory."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

from triton_models import wire
from triton_models.errors import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from triton_models.client import InferenceClient
    from triton_models.slots import SharedFrame

Result = TypeVar("Result")
_LOST_REGION = "Unable to find shared memory region"


@dataclass(frozen=True, slots=True)
class Call:
    """A call without its frame."""

    model: str
    """Whom it asks."""
    inputs: list[wire.ArrayInput]
    """What it is given besides the frame."""
    parameters: dict[str, str | int | float]
    """What is set for this call alone."""
    deadline_s: float
    """How long the answer may take."""


class Sending(Generic[Result]):
    """One request on its way; when the server has forgotten our memory, it is sent once more.

    ``future`` gets what is read of the answer, or the error.

    Args:
        client: Whose server is asked.
        call: What was asked.
        request: The same, as it is sent.
        read: Makes the result of the answer's outputs.
        shared: The frame whose slot is held until the answer, if it lies in shared memory.
    """

    def __init__(
        self,
        client: InferenceClient,
        call: Call,
        request: Any,
        read: Callable[[Any], Result],
        shared: SharedFrame | None,
    ) -> None:
        self.future: Future[Result] = Future()
        self.future.set_running_or_notify_cancel()
        self._client, self._call, self._request = client, call, request
        self._read, self._shared = read, shared
        self._tries_left = 1 if shared is None else 2

    def start(self) -> None:
        """Send it; the answer comes on a thread of gRPC's."""
        self._tries_left -= 1
        try:
            answer = self._client.stub.ModelInfer.future(
                self._request, timeout=self._call.deadline_s
            )
        except ValueError:  # how gRPC says that the channel is closed
            self._finish_with(ServerUnavailableError("the client has been closed"))
        else:
            answer.add_done_callback(self._answered)

    def _answered(self, answer: Any) -> None:
        try:
            result = self._read(wire.read_outputs(answer.result()))
        except grpc.RpcError as error:
            self._failed(error)
        except grpc.FutureCancelledError:
            self._finish_with(ServerUnavailableError("the client was closed during the call"))
        except Exception as error:
            self._finish_with(error)
        else:
            self._release()
            self.future.set_result(result)

    def _failed(self, error: grpc.RpcError) -> None:
        if self._tries_left and _LOST_REGION in (error.details() or ""):
            self._client.rescue.submit(self._again)
        else:
            translated = wire.translate_error(error, self._client.address, self._call.model)
            self._finish_with(translated)

    def _again(self) -> None:
        """Register the memory anew, as after a restart of the server, and send it again."""
        assert self._shared is not None
        try:
            self._shared.pool.register_again(self._shared.slot)
        except Exception as error:
            self._finish_with(error)
        else:
            self.start()

    def _finish_with(self, error: BaseException) -> None:
        self._release()
        self.future.set_exception(error)

    def _release(self) -> None:
        if self._shared is not None:
            self._shared.pool.drop(self._shared.slot)
