"""The report's drawings, as SVG in the page itself."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from edge_node.colours import as_hex, track_colour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from accel import Rig
    from edge_node.summary import TrackRecord

WIDTH = 960.0
MAX_HEIGHT = 640.0
EDGE = 48.0
"""Free space around the scene."""
CAMERA_M = 0.06
"""Size of a camera's mark, as part of the scene."""
GRID_LINES = 12
"""Lines of the grid across the scene, at most."""
GRID_STEPS_M = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
BAND = 26.0
LABEL = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How world coordinates become those of a drawing seen from above."""

    low_m: NDArray[np.float64]
    """Least x and y shown."""
    scale: float
    """Drawing units a metre."""
    height: float
    """Height of the drawing."""

    def place(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Give the place of a point; y grows upwards on the page."""
        x, y = (np.array([x_m, y_m]) - self.low_m) * self.scale
        return EDGE + float(x), self.height - EDGE - float(y)


def view_from_above(rig: Rig, tracks: Mapping[int, TrackRecord]) -> str:
    """Draw where everybody went, and the cameras with their directions."""
    centres, ahead = cameras_above(rig)
    paths = {track: known_path(record) for track, record in tracks.items()}
    plan = _plan(np.vstack([centres, *paths.values()]))
    span_m = (WIDTH - 2 * EDGE) / plan.scale
    parts = [_grid(plan), *(_path(plan, track, path) for track, path in paths.items())]
    for name, centre, direction in zip(rig.names, centres, ahead, strict=True):
        parts.append(_camera(plan, name, centre, direction * span_m * CAMERA_M))
    title = (
        f"Seen from above: the paths of {len(paths)} tracks and {len(rig.names)} cameras. Each "
        "path begins at its ring and ends at its disc."
    )
    return _svg(plan.height, title, parts)


def cameras_above(rig: Rig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give x and y of the cameras' centres and of their directions, both (C, 2)."""
    centres = -np.einsum("cji,cj->ci", rig.R, rig.t)[:, :2]
    ahead = rig.R[:, 2, :2]
    return centres, ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)


def known_path(record: TrackRecord) -> NDArray[np.float64]:
    """Give the known places of a track, (S, 2)."""
    path = np.array(record.path_m, np.float64).reshape(-1, 2)
    return path[np.isfinite(path).all(axis=1)]


def timeline(tracks: Mapping[int, TrackRecord], start_ns: int, end_ns: int) -> str:
    """Draw from when to when each track was there."""
    length = max(end_ns - start_ns, 1)
    width = WIDTH - LABEL - EDGE
    parts = []
    for row, (track, record) in enumerate(sorted(tracks.items())):
        y = BAND * row + BAND
        begin = LABEL + width * (record.first_time_ns - start_ns) / length
        wide = max(width * (record.last_time_ns - record.first_time_ns) / length, 2.0)
        colour = as_hex(track_colour(track))
        parts.append(f'<text x="12" y="{y + 5:.1f}">{track}</text>')
        parts.append(
            f'<rect x="{begin:.1f}" y="{y - 7:.1f}" width="{wide:.1f}" height="14" rx="4" '
            f'fill="{colour}" stroke="#1c2430" stroke-width="0.75"/>'
        )
    bottom = BAND * len(tracks) + BAND
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, seconds = LABEL + width * share, length * share / 1e9
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 14:.1f}">{seconds:.2f} s</text>')
    title = "From when to when each track was there: one bar a track, time to the right."
    return _svg(bottom + 28, title, parts)


def _plan(points_m: NDArray[np.float64]) -> Plan:
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    scale = min((WIDTH - 2 * EDGE) / extent[0], (MAX_HEIGHT - 2 * EDGE) / extent[1])
    # The scene stands in the middle of a drawing that is always as wide as the page.
    spare = ((WIDTH - 2 * EDGE) / scale - extent[0]) / 2
    return Plan(low - np.array([spare, 0.0]), float(scale), float(extent[1] * scale + 2 * EDGE))


def _grid(plan: Plan) -> str:
    width_m, height_m = WIDTH / plan.scale, plan.height / plan.scale
    step = next((s for s in GRID_STEPS_M if width_m / s <= GRID_LINES), GRID_STEPS_M[-1])
    low = plan.low_m - EDGE / plan.scale
    parts = []
    for x_m in _multiples(float(low[0]), float(low[0]) + width_m, step):
        x, _ = plan.place(x_m, 0.0)
        parts.append(f'<path d="M{x:.1f} 0V{plan.height:.1f}"/>')
    for y_m in _multiples(float(low[1]), float(low[1]) + height_m, step):
        _, y = plan.place(0.0, y_m)
        parts.append(f'<path d="M0 {y:.1f}H{WIDTH:.0f}"/>')
    lines = "".join(parts)
    bar = step * plan.scale
    foot = plan.height - 14
    return (
        f'<g stroke="#e6eaf0" fill="none">{lines}</g>'
        f'<path d="M16 {foot - 6:.1f}v6h{bar:.1f}v-6" fill="none" stroke="#5a6675"/>'
        f'<text class="soft" x="{22 + bar:.1f}" y="{foot:.1f}">{step:g} m</text>'
    )


def _multiples(low: float, high: float, step: float) -> Sequence[float]:
    return [
        float(n) * step for n in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)
    ]


def _path(plan: Plan, track: int, path_m: NDArray[np.float64]) -> str:
    if not len(path_m):
        return ""
    points = [plan.place(float(x), float(y)) for x, y in path_m]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    (x0, y0), (x1, y1) = points[0], points[-1]
    colour = as_hex(track_colour(track))
    return (
        f'<polyline points="{line}" fill="none" stroke="#1c2430" stroke-width="5" '
        'stroke-linejoin="round" opacity="0.35"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="3.5" '
        'stroke-linejoin="round"/>'
        f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="5" fill="#fff" stroke="{colour}" '
        'stroke-width="3"/>'
        f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="11" fill="{colour}" stroke="#1c2430"/>'
        f'<text x="{x1:.1f}" y="{y1 + 4.5:.1f}" text-anchor="middle">{track}</text>'
    )


def _camera(plan: Plan, name: str, centre: NDArray[np.float64], ahead: NDArray[np.float64]) -> str:
    side = np.array([-ahead[1], ahead[0]]) * 0.5
    corners = [centre, centre + ahead + side, centre + ahead - side]
    line = " ".join("{:.1f},{:.1f}".format(*plan.place(*map(float, corner))) for corner in corners)
    x, y = plan.place(*map(float, centre))
    return (
        f'<polygon points="{line}" fill="#1c2430" fill-opacity="0.12" stroke="#1c2430"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1c2430"/>'
        f'<text x="{x:.1f}" y="{y + (20 if ahead[1] > 0 else -10):.1f}" text-anchor="middle">'
        f"{escape(name)}</text>"
    )


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
