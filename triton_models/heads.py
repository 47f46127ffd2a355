"""Running a network up to its heads: by onnxruntime in this process, or by a model of Triton's.

Both take a batch of pictures and return the outputs by name, so that the models that decode them
are the same on a CPU and on a GPU.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import triton_python_backend_utils as pb

from tipoff.errors import InternalError
from triton_models.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from triton_models.weights.manifest import Manifest

Heads = dict[str, "NDArray[np.float32]"]

MAX_SESSIONS = 6
"""Networks kept loaded in a process; the one used longest ago makes room for a new one."""
GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")


class Network(Protocol):
    """Something that runs one network."""

    @property
    def manifest(self) -> Manifest:
        """What the store knows about it."""

    def run(self, batch: NDArray[np.float32]) -> Heads:
        """Return the outputs for a batch, by name."""


@dataclass(frozen=True, slots=True)
class OrtNetwork:
    """A network in this process."""

    manifest: Manifest
    """What the store knows about it."""
    session: Any
    """The onnxruntime session."""

    def run(self, batch: NDArray[np.float32]) -> Heads:
        """Return the outputs for a batch, by name."""
        names = [output.name for output in self.manifest.outputs]
        values = self.session.run(names, {self.manifest.inputs[0].name: batch})
        return dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True)
class TritonNetwork:
    """A network that Triton serves as a model of its own."""

    manifest: Manifest
    """What the store knows about it."""
    model: str
    """The model's name in the server."""
    max_batch: int
    """Most pictures it takes at once."""

    def run(self, batch: NDArray[np.float32]) -> Heads:
        """Return the outputs for a batch, by name."""
        parts = [
            self._run(batch[start : start + self.max_batch])
            for start in range(0, len(batch), self.max_batch)
        ]
        return {name: _join([part[name] for part in parts]) for name in parts[0]}

    def _run(self, batch: NDArray[np.float32]) -> Heads:
        names = [output.name for output in self.manifest.outputs]
        inputs = [pb.Tensor(self.manifest.inputs[0].name, batch)]
        response = pb.InferenceRequest(
            model_name=self.model,
            requested_output_names=names,
            inputs=inputs,
            preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0),
        ).exec()
        if response.has_error():
            raise InternalError(f"{self.model} failed: {response.error().message()}")
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a model gets its networks."""

    weights: Path
    """The weights store."""
    threads: int
    """Threads of each onnxruntime session."""
    heads_by: str
    """``onnxruntime`` or ``triton``."""
    max_batch: int = 16
    """Most pictures in a batch to a model of Triton's."""


class Networks:
    """The networks that a model uses, opened when they are first asked for.

    The store is looked at on every request, so that a model which was just added, or replaced,
    is used without a restart.
    """

    def __init__(self, options: NetworkOptions) -> None:
        self._options = options
        self._store = Store(options.weights)
        self._open: OrderedDict[str, Network] = OrderedDict()

    def get(self, name: str) -> Network:
        """Return a network by its name in the store.

        Raises:
            ModelNotFoundError: it was never pulled or added.
            WeightsError: its files are damaged.
        """
        manifest = self._store.manifest(name)
        known = self._open.get(name)
        if known is None or known.manifest.sha256 != manifest.sha256:
            known = self._open_network(name, manifest)
            self._open[name] = known
        self._open.move_to_end(name)
        while len(self._open) > MAX_SESSIONS:
            self._open.popitem(last=False)
        return known

    def warm(self, name: str) -> None:
        """Open a network before the first request, where that can be done.

        Triton answers nobody, its own models included, before all of them are loaded.
        """
        if self._options.heads_by == "onnxruntime":
            self.get(name)

    def _open_network(self, name: str, manifest: Manifest) -> Network:
        served = SERVED_HEADS.get(name)
        if self._options.heads_by == "triton" and served and pb.is_model_ready(served):
            return TritonNetwork(manifest, served, self._options.max_batch)
        self._store.verify(name)
        return OrtNetwork(manifest, open_session(self._store.path(name), self._options.threads))


SERVED_HEADS = {
    "movenet-multipose": "people_heads",
    "movenet-lightning": "lightning_heads",
    "movenet-thunder": "thunder_heads",
}
"""Networks that the gpu profile serves as models of their own."""


def network_options(settings: Mapping[str, str]) -> NetworkOptions:
    """Return the options that a model's configuration holds."""
    return NetworkOptions(
        weights=Path(settings["weights"]),
        threads=int(settings["threads"]),
        heads_by=settings.get("heads_by", "onnxruntime"),
    )


def open_session(path: Path, threads: int) -> Any:
    """Return an onnxruntime session that leaves the other cores alone.

    Args:
        path: The ONNX file.
        threads: How many threads it may use.
    """
    import onnxruntime  # in the models' environment only, and slow to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads must not spin: the other models want the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    there = onnxruntime.get_available_providers()
    providers = [name for name in GPU_PROVIDERS if name in there]
    return onnxruntime.InferenceSession(path, options, [*providers, "CPUExecutionProvider"])


def _join(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    import numpy as np

    return parts[0] if len(parts) == 1 else np.concatenate(parts)
