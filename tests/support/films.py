"""Real pictures for the cameras of tests: the demo's clips as raw pictures of a smaller size."""

from __future__ import annotations

from pathlib import Path

import av

from edge_node.demo import CALIBRATION, CAMERAS, fetch_clips

SIZE = (544, 960)
"""Half of what the demo's cameras have, wide enough for a picture's time."""
STEP = 2
"""Of the clips' 60 pictures a second every second one is shown."""


def calibration(clip: str = "two-person") -> Path:
    """Give the calibration of a clip's cameras."""
    return fetch_clips() / clip / CALIBRATION


def make_films(folder: Path, clip: str = "two-person") -> tuple[Path, ...]:
    """Write each camera's pictures as `rtsp_server.py --film` takes them.

    Args:
        folder: Where to; they take 40 MB a camera.
        clip: One of `edge_node.demo.CLIPS`.
    """
    return tuple(_film(fetch_clips() / clip / f"{name}.mp4", folder) for name in CAMERAS)


def _film(path: Path, folder: Path) -> Path:
    film = folder / f"{path.stem}.i420"
    with av.open(str(path)) as video, film.open("wb") as file:
        video.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(video.decode(video=0)):
            if number % STEP == 0:
                small = frame.reformat(*SIZE, format="yuv420p")
                file.write(small.to_ndarray().tobytes())
    return film
