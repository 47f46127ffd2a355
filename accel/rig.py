"""The rig: the calibrated cameras of an arena, and what they make of points and pixels."""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, SupportsIndex, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accel import _core
from accel.calibration import CameraRecord, read_cameras, write_cameras
from accel.checks import (
    checked_intrinsics,
    checked_names,
    checked_readout,
    checked_rotations,
    checked_scale,
    checked_sizes,
    finite_array,
    float_array,
)
from accel.errors import CalibrationError, CalibrationFileError, InvalidInputError

if TYPE_CHECKING:
    from accel.alignment import Alignment

Array = NDArray[np.float64]

_NS_PER_MS: Final = 1_000_000


@final
class Rig:
    """C calibrated cameras with Brown's distortion. Immutable, comparable, hashable, picklable.

    World to camera: x_cam = R X + t. The world is in metres; pixels are distorted, u to the right,
    v down, as in OpenCV.

    Args:
        names: C names, unique and not empty.
        K: Intrinsics (C, 3, 3), px: [[fx, skew, cx], [0, fy, cy], [0, 0, 1]].
        dist: Distortion (C, 5) in OpenCV's order k1 k2 p1 p2 k3.
        R: Rotations (C, 3, 3). Those rounded by a calibration file (up to 1e-3) are moved to the
            nearest rotation; those within 1e-9 are kept bit by bit.
        t: Translations (C, 3), m.
        size: Width and height (C, 2), whole px.
        readout_ms: Time from the first row to the last, ms: one for all, or (C,). None is 0.

    Raises:
        CalibrationError: A value that no camera has; the message names camera and field.
    """

    __slots__ = ("K", "R", "_native", "dist", "names", "readout_ms", "size", "t")

    names: tuple[str, ...]
    K: Array
    dist: Array
    R: Array
    t: Array
    size: Array
    readout_ms: Array
    _native: _core.Rig

    def __init__(  # noqa: PLR0913, PLR0917 - one argument for each thing that a camera has
        self,
        names: Sequence[str],
        K: ArrayLike,
        dist: ArrayLike,
        R: ArrayLike,
        t: ArrayLike,
        size: ArrayLike,
        readout_ms: ArrayLike | None = None,
    ) -> None:
        known = checked_names(names)
        count = len(known)
        readout = finite_array("readout_ms", 0.0 if readout_ms is None else readout_ms, known)
        fields = {
            "K": checked_intrinsics(finite_array("K", K, known, (count, 3, 3)), known),
            "dist": finite_array("dist", dist, known, (count, 5)),
            "R": checked_rotations(finite_array("R", R, known, (count, 3, 3)), known),
            "t": finite_array("t", t, known, (count, 3)),
            "size": checked_sizes(finite_array("size", size, known, (count, 2)), known),
            "readout_ms": checked_readout(readout, known),
        }
        object.__setattr__(self, "names", known)
        for field, values in fields.items():
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        readout_ns = np.rint(fields["readout_ms"] * _NS_PER_MS).astype(np.int64)
        native = _core.Rig(self.K, self.dist, self.R, self.t, self.size, readout_ns)
        object.__setattr__(self, "_native", native)

    @classmethod
    def load(cls, path: str | os.PathLike[str], scale: float | None = None) -> Rig:
        """Read a calibration; its format is told by content.

        Args:
            path: anipose or Pose2Sim TOML; Qualisys `.qca.txt`; either of intri.yml and extri.yml
                (OpenCV YAML) or of COLMAP's cameras.txt and images.txt; or a folder with one of
                these.
            scale: Metres per unit of the file. By default 0.001 for Qualisys (mm) and 1 for TOML
                and YAML; COLMAP's unit is unknown, so that it has to be given there.

        Raises:
            CalibrationFileError: With file, camera, field and remedy.
            UnsupportedCameraError: A camera model that a Rig cannot hold.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # What overflows is refused as infinite.
            cameras = read_cameras(path, None if scale is None else checked_scale(scale))
        try:
            return cls(
                [camera.name for camera in cameras],
                [camera.K for camera in cameras],
                [camera.dist for camera in cameras],
                [camera.R for camera in cameras],
                [camera.t for camera in cameras],
                [camera.size for camera in cameras],
                [camera.readout_ms for camera in cameras],
            )
        except CalibrationError as error:
            ids = {**error.ids, "path": os.fspath(path)}
            raise CalibrationFileError(f"{os.fspath(path)}: {error.message}", **ids) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write anipose TOML, whole or not at all; `Rig.load` gives back an equal rig.

        Raises:
            CalibrationFileError: The file cannot be written.
        """
        write_cameras(path, [self._record(i) for i in range(len(self))])

    def _record(self, i: int) -> CameraRecord:
        width, height = self.size[i].tolist()
        return CameraRecord(
            name=self.names[i],
            K=self.K[i],
            dist=self.dist[i],
            R=self.R[i],
            t=self.t[i],
            size=(width, height),
            readout_ms=float(self.readout_ms[i]),
        )

    def project(self, points_m: ArrayLike) -> Array:
        """Distorted pixels of world points in every camera.

        Args:
            points_m: World points (..., 3), m.

        Returns:
            u, v (..., C, 2), px; NaN where the point lies behind the camera or so far off its axis
            that the distortion no longer grows. Pixels outside the image are given as they are.
        """
        points = float_array("points_m", points_m)
        if points.ndim < 1 or points.shape[-1] != 3:
            raise InvalidInputError(f"points_m has shape {points.shape}; give (..., 3) in metres")
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        uv: Array = self._native.project(flat).reshape(*points.shape[:-1], len(self), 2)
        return uv

    def undistort(self, uv: ArrayLike, camera: SupportsIndex | str) -> Array:
        """Normalised coordinates of distorted pixels, as cv2.undistortPoints gives them.

        Args:
            uv: Distorted pixels (..., 2) of this one camera.
            camera: Its index or name.

        Returns:
            x/z, y/z (..., 2) in the camera's frame, so that R^T (x/z, y/z, 1) is the ray in the
            world and K (x/z, y/z, 1) the undistorted pixel; NaN where no ray has this image.
        """
        pixels = float_array("uv", uv)
        if pixels.ndim < 1 or pixels.shape[-1] != 2:
            raise InvalidInputError(f"uv has shape {pixels.shape}; give (..., 2) in pixels")
        flat = np.ascontiguousarray(pixels.reshape(-1, 2))
        xy: Array = self._native.undistort(flat, self.index(camera)).reshape(pixels.shape)
        return xy

    def to_world(
        self,
        points_rig: Mapping[str, ArrayLike],
        points_court: Mapping[str, ArrayLike],
        *,
        with_scale: bool = False,
    ) -> Alignment:
        """Place the rig on the court by three or more named points that it has seen.

        Args:
            points_rig: Name to position (3,) in the rig's world, m.
            points_court: Name to position (3,) on the court, m; may hold points more than those.
            with_scale: Whether lengths may change too, for a rig of unknown scale.

        Returns:
            The aligned rig with the residual of each point.

        Raises:
            AlignmentError: Fewer than three common points, points on one line, or unknown names.
        """
        from accel.alignment import align  # it needs the Rig

        return align(self, points_rig, points_court, with_scale=with_scale)

    @property
    def centers_m(self) -> Array:
        """The cameras' centres (C, 3) in the world, m."""
        centers: Array = -np.einsum("cji,cj->ci", self.R, self.t)
        return centers

    @property
    def domain_radius(self) -> Array:
        """The normalised radius (C,) up to which each distortion grows; it may be infinite."""
        return self._native.domain_radius()

    def index(self, camera: SupportsIndex | str) -> int:
        """The index of a camera given by index or name."""
        if isinstance(camera, str):
            if camera in self.names:
                return self.names.index(camera)
        else:
            with suppress(TypeError):
                index = operator.index(camera)
                if 0 <= index < len(self):
                    return index
        raise InvalidInputError(
            f"there is no camera {camera!r}; the rig has {', '.join(self.names)}", camera=camera
        )

    def subset(self, names: Sequence[str]) -> Rig:
        """The rig of these cameras only, in this order."""
        i = [self.index(name) for name in names]
        return Rig(
            [self.names[k] for k in i],
            self.K[i],
            self.dist[i],
            self.R[i],
            self.t[i],
            self.size[i],
            self.readout_ms[i],
        )

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of names and numbers: equal rigs have equal digests."""
        sha = hashlib.sha256(b"tipoff rig 1\n")
        sha.update(json.dumps(self.names).encode())
        for values in self._arrays():
            # + 0.0 makes -0.0 equal to 0.0, as == has it.
            sha.update((values + 0.0).astype("<f8").tobytes())
        return sha.hexdigest()

    def _arrays(self) -> tuple[Array, ...]:
        return (self.K, self.dist, self.R, self.t, self.size, self.readout_ms)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rig):
            return NotImplemented
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return self.names == other.names and all(np.array_equal(a, b) for a, b in pairs)

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:6]) + (", ..." if len(self) > 6 else "")
        return f"Rig({len(self)} cameras: {shown}; {self.digest()[:12]})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Rig, (self.names, *self._arrays()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Rig is immutable; build another one instead of setting {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Rig is immutable; build another one instead of deleting {name}")
