"""The shared Shelf sequence: five cameras, detections as they are, truth, and its scorer."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from bench.arrays import Floats, Ints, Keypoints
from tipoff.errors import NotFoundError

if TYPE_CHECKING:
    import accel


@dataclass(frozen=True, slots=True)
class Shelf:
    """The sequence as it lies in the shared folder."""

    names: tuple[str, ...]
    """(C,) cameras, as numbered there."""
    K: Floats
    """(C, 3, 3)."""
    R: Floats
    """(C, 3, 3) world to camera."""
    t: Floats
    """(C, 3) metres."""
    size: Ints
    """(C, 2) width, height."""
    frames: dict[int, list[Keypoints]]
    """Frame number to each camera's detections (N, 17, 3)."""
    truth: dict[int, dict[str, Floats]]
    """Frame number to each actor's joints, in the scorer's order."""
    scorer: ModuleType
    """The shared eval_pcp.py."""

    def rig(self) -> accel.Rig:
        """The cameras as the tracker takes them."""
        import accel

        dist = np.zeros((len(self.names), 5))
        return accel.Rig(self.names, self.K, dist, self.R, self.t, self.size)


def shared_folder(configured: str = "") -> Path:
    """The shared data.

    Raises:
        NotFoundError: It is not where it should be.
    """
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(configured or os.environ.get("TIPOFF_DATA", beside))
    if not (folder / "data" / "shelf").is_dir():
        raise NotFoundError(
            f"there is no Shelf sequence in {folder}/data/shelf; say where the shared data lies "
            "by TIPOFF_DATA or suite.data=FOLDER",
            folder=str(folder),
        )
    return folder


def load(folder: Path | None = None) -> Shelf:
    """Read calibration, detections, ground truth and scorer from the shared folder."""
    root = folder if folder is not None else shared_folder()
    data = root / "data" / "shelf"
    cameras = json.loads((data / "calibration.json").read_text(encoding="utf-8"))
    names = tuple(sorted(cameras, key=int))
    pose = np.array([cameras[n]["RT"] for n in names], dtype=np.float64).reshape(-1, 3, 4)
    scorer = _scorer(root / "eval" / "eval_pcp.py")
    return Shelf(
        names=names,
        K=np.array([cameras[n]["K"] for n in names], dtype=np.float64).reshape(-1, 3, 3),
        R=_orthonormal(pose[:, :, :3]),
        t=np.ascontiguousarray(pose[:, :, 3]),
        size=np.array([cameras[n]["imgSize"] for n in names], dtype=np.int64),
        frames=_detections(data / "detections_coco17.json", names),
        truth=_truth(data / "gt3d.json"),
        scorer=scorer,
    )


def _orthonormal(rotations: Floats) -> Floats:
    """The rotations nearest to matrices that were rounded to six digits."""
    u, _, vt = np.linalg.svd(rotations)
    return np.asarray(u @ vt)


def _detections(path: Path, names: tuple[str, ...]) -> dict[int, list[Keypoints]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        frame["frame"]: [
            np.array(frame["views"].get(name, []), dtype=np.float32).reshape(-1, 17, 3)
            for name in names
        ]
        for frame in document["frames"]
    }


def _truth(path: Path) -> dict[int, dict[str, Floats]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        frame["frame"]: {actor: np.array(joints) for actor, joints in frame["actors"].items()}
        for frame in document["frames"]
    }


def _scorer(path: Path) -> ModuleType:
    """The shared scorer, from where it lies."""
    spec = importlib.util.spec_from_file_location("eval_pcp", path)
    if spec is None or spec.loader is None or not path.exists():
        raise NotFoundError(f"the scorer {path} is not there", path=str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
