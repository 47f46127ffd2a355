"""Which video belongs to which camera: by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node.errors import CameraMatchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def match_videos(
    names: Sequence[str], videos: Sequence[str], *, subset: bool = False
) -> dict[str, Path]:
    """Find each camera's video.

    A video belongs to the camera that ``CAM=PATH`` names; else to the one whose name is its file's
    name without the ending; else to the only one whose name is a word in it.

    Args:
        names: The rig's cameras.
        videos: Paths, or ``CAM=PATH``.
        subset: Whether cameras may be without a video.

    Returns:
        The video of each camera that has one, in the rig's order.

    Raises:
        CameraMatchError: a video fits no camera or several, two fit one, or a camera has none.
    """
    found: dict[str, list[Path]] = {}
    problems = []
    for video in videos:
        fitting, path = _cameras_of(names, video)
        if len(fitting) == 1:
            found.setdefault(fitting[0], []).append(path)
        elif fitting:
            problems.append(f"{path} fits the cameras {', '.join(fitting)}")
        else:
            problems.append(f"{path} fits no camera")
    for name, paths in found.items():
        if len(paths) > 1:
            problems.append(f"camera {name} has {', '.join(str(path) for path in paths)}")
    missing = [name for name in names if name not in found]
    if missing and not (subset and found):
        problems.append(f"no video for {', '.join(missing)}")
    if problems:
        raise CameraMatchError(_explain(names, videos, problems))
    return {name: found[name][0] for name in names if name in found}


def _cameras_of(names: Sequence[str], video: str) -> tuple[list[str], Path]:
    """Give the cameras that a video fits, and its path."""
    name, separator, rest = video.partition("=")
    if separator and name in names:
        return [name], Path(rest)
    path = Path(video)
    if path.stem in names:
        return [path.stem], path
    return [camera for camera in names if _is_word_in(camera, path.stem)], path


def _is_word_in(name: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text) is not None


def _explain(names: Sequence[str], videos: Sequence[str], problems: Sequence[str]) -> str:
    return (
        f"videos and cameras do not match: {'; '.join(problems)}.\n"
        f"  cameras of the rig: {', '.join(names)}\n"
        f"  videos: {', '.join(videos)}\n"
        "Name each video after its camera, or give it as CAMERA=PATH; --subset tracks with the "
        "cameras that have one."
    )
