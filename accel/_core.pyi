from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CameraReport = tuple[
    int,
    int,
    tuple[float, float],
    tuple[float, float],
    float,
    list[float],
    list[float],
    float,
    float,
    bool,
    int,
]

class Rig:
    def __init__(
        self,
        K: NDArray[np.float64],
        dist: NDArray[np.float64],
        R: NDArray[np.float64],
        t: NDArray[np.float64],
        size: NDArray[np.float64],
        readout_ns: NDArray[np.int64],
    ) -> None: ...
    def project(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def undistort(self, uv: NDArray[np.float64], camera: int) -> NDArray[np.float64]: ...
    def domain_radius(self) -> NDArray[np.float64]: ...

def triangulate(
    rig: Rig, uv: NDArray[np.float64], confidence: NDArray[np.float64] | None, sigma_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]: ...
def instruction_sets() -> list[str]: ...

_Snapshot = tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float32],
    NDArray[np.int32],
]

class Tracker:
    def __init__(self, rig: Rig, options: Mapping[str, object]) -> None: ...
    def observe(
        self,
        camera: int,
        time_ns: int,
        keypoints: NDArray[np.float32],
        evidence: NDArray[np.float32],
        asked: list[int] | None,
    ) -> bool: ...
    def observe_plain(self, camera: object, time_ns: object, keypoints: object) -> bool | None: ...
    def snapshot(self, time_ns: int) -> _Snapshot: ...
    def smoothed(self, time_ns: int) -> _Snapshot: ...
    def predict(
        self, camera: int, time_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_]]: ...
    def assigned(self, camera: int, time_ns: int) -> NDArray[np.int64]: ...
    def plan(
        self, time_ns: int, budget: Mapping[str, object]
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.float64],
    ]: ...
    def stats(self) -> dict[str, int]: ...
    def health(self) -> list[CameraReport]: ...
    def isa(self) -> str: ...
    def checkpoint(self) -> bytes: ...
    @staticmethod
    def restore(rig: Rig, checkpoint: bytes) -> Tracker: ...
    def options(self) -> dict[str, Any]: ...

_Vector = NDArray[np.float64]
_Arc = tuple[
    int,
    float,
    _Vector,
    _Vector,
    bool,
    int,
    float,
    int,
    _Vector,
    _Vector,
    NDArray[np.float64],
    int | None,
]
_Ball = tuple[
    _Vector,
    _Vector,
    NDArray[np.float64],
    NDArray[np.float64],
    int,
    int | None,
    int,
    float,
    int,
    _Arc | None,
    list[tuple[int, float, _Vector, float, float]],
]

class BallTracker:
    def __init__(self, rig: Rig, options: Mapping[str, object]) -> None: ...
    def observe(self, camera: int, time_ns: int, candidates: NDArray[np.float32]) -> bool: ...
    def snapshot(
        self,
        time_ns: int,
        ids: NDArray[np.int64],
        joints_m: NDArray[np.float64],
        covariance_m2: NDArray[np.float64],
    ) -> _Ball | None: ...
    def stats(self) -> dict[str, float]: ...
    def checkpoint(self) -> bytes: ...
    @staticmethod
    def restore(rig: Rig, checkpoint: bytes) -> BallTracker: ...
    def options(self) -> dict[str, object]: ...

class HealthMonitor:
    def __init__(self, rig: Rig) -> None: ...
    def feed(
        self,
        times_ns: NDArray[np.int64],
        points_m: NDArray[np.float64],
        velocities_mps: NDArray[np.float64],
        counts: NDArray[np.float32],
        means_px: NDArray[np.float32],
        scatter_px: float,
        frames: NDArray[np.int32],
    ) -> list[tuple[int, int, int, int]]: ...
    def report(self) -> list[CameraReport]: ...
