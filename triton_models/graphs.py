"""The DALI graphs, each defined once for the CPU and the GPU.

A graph takes its input and a device, ``"cpu"`` or ``"gpu"``: the decoder is ``mixed`` on a GPU
(bytes from the host, pixels on the device) and everything behind it runs where the pixels are.
Only the models' environment has DALI, so nothing outside Triton imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nvidia.dali import fn, pipeline_def, types


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture that a model reads."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""


SEQUENCE_FRAMES = 8
"""Video frames in one answer."""


def letterbox(image: Any, frame: Frame) -> Any:
    """Scale pictures to fit the frame, at the upper left, the rest black; float RGB 0..255.

    Args:
        image: uint8 (H, W, 3), or (F, H, W, 3) for video.
        frame: What the model reads.
    """
    scaled = fn.resize(
        image,
        size=[frame.height, frame.width],
        mode="not_larger",
        interp_type=types.INTERP_LINEAR,
        antialias=True,
        dtype=types.FLOAT,
    )
    return fn.pad(scaled, axis_names="HW", shape=[frame.height, frame.width], fill_value=0.0)


def jpeg_graph(jpeg: Any, device: str, frame: Frame) -> tuple[Any, Any]:
    """Decode JPEGs upright and letterbox them.

    Args:
        jpeg: The files' bytes, on the host.
        device: ``"cpu"`` or ``"gpu"``.
        frame: What the model reads.

    Returns:
        The pictures, float (height, width, 3), and the upright sources' shapes (H, W, C).
    """
    decoder = "mixed" if device == "gpu" else "cpu"
    image = fn.decoders.image(jpeg, device=decoder, output_type=types.RGB, adjust_orientation=True)
    shape = fn.peek_image_shape(jpeg, adjust_orientation=True, dtype=types.INT64)
    return letterbox(image, frame), shape


def video_graph(name: str, device: str, frame: Frame) -> Any:
    """Decode a video that comes in one piece, and letterbox its frames, some at a time.

    H.264 and HEVC need the GPU's decoder; on the CPU only VP8, VP9 and MJPEG can be read.

    Args:
        name: The input's name.
        device: ``"cpu"`` or ``"gpu"``.
        frame: What the model reads.
    """
    frames = fn.experimental.inputs.video(
        name=name,
        sequence_length=SEQUENCE_FRAMES,
        last_sequence_policy="partial",
        device="mixed" if device == "gpu" else "cpu",
    )
    return letterbox(frames, frame)


def jpeg_outputs(device: str, frame: Frame) -> tuple[Any, Any]:
    """Return the whole graph of ``jpeg_letterbox``: input JPEG, outputs image, source shape."""
    jpeg = fn.external_source(name="JPEG", device="cpu", ndim=1, dtype=types.UINT8)
    return jpeg_graph(jpeg, device, frame)


def video_outputs(device: str, frame: Frame) -> Any:
    """Return the whole graph of ``video_letterbox``: input VIDEO, output frames."""
    return video_graph("VIDEO", device, frame)


GRAPHS = {"jpeg": jpeg_outputs, "video": video_outputs}


def build(kind: str, device: str, frame: Frame) -> Any:
    """Return a pipeline by its kind, to be run on the CPU or only serialised.

    Args:
        kind: ``"jpeg"`` or ``"video"``.
        device: ``"cpu"`` or ``"gpu"``; the latter serialises on any machine.
        frame: What the model reads.
    """
    define = pipeline_def(GRAPHS[kind])
    # One in flight: a deeper queue would ask for the next input before it has come.
    options = {"batch_size": 1, "num_threads": 1, "prefetch_queue_depth": 1}
    return define(device, frame, device_id=None, **options)
