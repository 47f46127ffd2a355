"""Looking at a rig: what each camera is and sees, and what looks wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from accel.rig import Rig

Array = NDArray[np.float64]

ROUND_TRIP_PX = 1e-6
MIN_BASELINE_M = 0.01
MAX_EXTENT_M = 1000.0
MIN_EXTENT_M = 0.1
MIN_OVERLAP = 0.1
MAX_BLIND = 0.05
GRID = 25
"""Pixels a side at which a picture is looked at."""
DEPTHS = 12
"""Distances at which views are looked for in each other."""


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """One camera in numbers that a person can check."""

    name: str
    """Its name."""
    size_px: tuple[int, int]
    """Width and height."""
    focal_px: tuple[float, float]
    """Focal length along u and v."""
    fov_deg: tuple[float, float]
    """Field of view from edge to edge, distortion included; NaN where an edge has no ray."""
    centre_m: tuple[float, float, float]
    """Where it stands."""
    looks_at_m: tuple[float, float] | None
    """Where its axis meets the floor z = 0, if it does."""
    heading_deg: float
    """Direction of its axis from x towards y."""
    pitch_deg: float
    """Elevation of its axis, negative downwards."""
    readout_ms: float
    """Time from the first row to the last."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks wrong."""

    level: str
    """`error`: do not use the rig so. `warning`: look whether it is meant."""
    camera: str | None
    """Which camera, or None for the rig as a whole."""
    text: str
    """What is wrong and what to do."""


def summarise(rig: Rig) -> list[CameraSummary]:
    """Every camera in numbers."""
    return [_summary(rig, i) for i in range(len(rig))]


def _summary(rig: Rig, i: int) -> CameraSummary:
    centre, axis = rig.centers_m[i], rig.R[i, 2]
    width, height = rig.size[i]
    meets = axis[2] < -1e-6 < centre[2]
    floor = centre - axis * centre[2] / axis[2] if meets else None
    return CameraSummary(
        name=rig.names[i],
        size_px=(int(width), int(height)),
        focal_px=(float(rig.K[i, 0, 0]), float(rig.K[i, 1, 1])),
        fov_deg=_field_of_view(rig, i),
        centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
        looks_at_m=None if floor is None else (float(floor[0]), float(floor[1])),
        heading_deg=float(np.degrees(np.arctan2(axis[1], axis[0]))),
        pitch_deg=float(np.degrees(np.arcsin(np.clip(axis[2], -1, 1)))),
        readout_ms=float(rig.readout_ms[i]),
    )


def _field_of_view(rig: Rig, i: int) -> tuple[float, float]:
    (width, height), (cx, cy) = rig.size[i], rig.K[i, :2, 2]
    edges = np.array([[-0.5, cy], [width - 0.5, cy], [cx, -0.5], [cx, height - 0.5]])
    angles = np.degrees(np.arctan(rig.undistort(edges, i)))
    return float(angles[1, 0] - angles[0, 0]), float(angles[3, 1] - angles[2, 1])


def inspect(rig: Rig) -> list[Finding]:
    """Everything that looks wrong, errors first."""
    found = [*_spacing(rig), *_overlaps(rig)]
    for i in range(len(rig)):
        found += [*_intrinsics(rig, i), *_pictures(rig, i), *_stance(rig, i)]
    return sorted(found, key=lambda finding: finding.level != "error")


def _spacing(rig: Rig) -> Iterator[Finding]:
    if len(rig) < 2:
        yield Finding("error", None, "one camera alone triangulates nothing; add a second one")
        return
    centres = rig.centers_m
    for a, b in combinations(range(len(rig)), 2):
        if np.linalg.norm(centres[a] - centres[b]) < MIN_BASELINE_M:
            yield Finding(
                "error",
                rig.names[a],
                f"stands where {rig.names[b]} stands; check the translations",
            )
    extent = float(np.ptp(centres, axis=0).max())
    if not MIN_EXTENT_M <= extent <= MAX_EXTENT_M:
        yield Finding(
            "error", None, f"the cameras span {extent:.3g} m; load it with the right `scale`"
        )


def _intrinsics(rig: Rig, i: int) -> Iterator[Finding]:
    fx, fy = rig.K[i, 0, 0], rig.K[i, 1, 1]
    if not 0.8 < fx / fy < 1.25:
        yield Finding(
            "warning",
            rig.names[i],
            f"focal lengths {fx:.0f} and {fy:.0f} px: pixels far from square",
        )
    if not (np.abs(rig.K[i, :2, 2] / rig.size[i] - 0.5) < 0.5).all():
        yield Finding(
            "error",
            rig.names[i],
            "the principal point lies outside the picture; check `size` (the calibration may be of "
            "another resolution)",
        )


def _grid(rig: Rig, i: int, count: int) -> Array:
    width, height = rig.size[i]
    u, v = np.meshgrid(np.linspace(0, width - 1, count), np.linspace(0, height - 1, count))
    return np.stack([u.ravel(), v.ravel()], axis=-1)


def _points_on_rays(rig: Rig, i: int, xy: Array, depths_m: Array) -> Array:
    """World points (D, N, 3) of normalised coordinates (N, 2) at depths (D,)."""
    local = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
    scaled: Array = depths_m[:, None, None] * local
    world: Array = (scaled - rig.t[i]) @ rig.R[i]
    return world


def _pictures(rig: Rig, i: int) -> Iterator[Finding]:
    pixels = _grid(rig, i, GRID)
    xy = rig.undistort(pixels, i)
    seen = np.isfinite(xy).all(axis=1)
    blind = 1.0 - float(seen.mean())
    if blind > 0:
        yield Finding(
            "error" if blind > MAX_BLIND else "warning",
            rig.names[i],
            f"{100 * blind:.0f} % of the picture has no ray: its distortion stops growing before "
            "the edge; calibrate with points out to the corners",
        )
    if not seen.any():
        return
    back = rig.project(_points_on_rays(rig, i, xy[seen], np.array([10.0]))[0])[:, i]
    error = float(np.abs(back - pixels[seen]).max())
    if not error <= ROUND_TRIP_PX:
        yield Finding(
            "error", rig.names[i], f"pixel to ray and back differs by {error:.2g} px; recalibrate"
        )


def _stance(rig: Rig, i: int) -> Iterator[Finding]:
    if rig.centers_m[i, 2] < 0:
        yield Finding(
            "warning",
            rig.names[i],
            f"stands {-rig.centers_m[i, 2]:.2f} m below the floor; z is up: align the rig",
        )
    if rig.R[i, 1, 2] > 0.5:
        yield Finding(
            "warning",
            rig.names[i],
            "hangs upside down, or the world's z points down: align the rig",
        )


def _overlaps(rig: Rig) -> Iterator[Finding]:
    if len(rig) < 2:
        return
    for i, share in enumerate(overlap(rig)):
        if share < MIN_OVERLAP:
            yield Finding(
                "error" if share == 0 else "warning",
                rig.names[i],
                f"shares {100 * share:.0f} % of its view with other cameras; check where it looks",
            )


def overlap(rig: Rig) -> Array:
    """The share (C,) of each camera's view, out to the rig's own extent, that another one sees."""
    extent = max(float(np.ptp(rig.centers_m, axis=0).max()), MIN_EXTENT_M)
    depths = np.linspace(0.1, 1.5, DEPTHS) * extent
    return np.array([_shared(rig, i, depths) for i in range(len(rig))])


def _shared(rig: Rig, i: int, depths_m: Array) -> float:
    xy = rig.undistort(_grid(rig, i, 9), i)
    rays = xy[np.isfinite(xy).all(axis=1)]
    if not len(rays):
        return 0.0
    uv = rig.project(_points_on_rays(rig, i, rays, depths_m))
    inside = np.asarray(((uv >= -0.5) & (uv <= rig.size - 0.5)).all(axis=-1))
    others = np.delete(inside, i, axis=-1)
    return float(others.any(axis=-1).mean())
