"""The health of a rig as its tracker sees it: per camera what is off, since when, and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel._core import CameraReport

_ERROR_WORTH_SAYING_M = 0.0005


class Verdict(StrEnum):
    """What is made of a camera."""

    LEARNING = "learning"
    """Too little was seen to judge by."""
    GOOD = "good"
    """Nothing changed."""
    TURNED = "turned"
    """It points elsewhere than it did."""
    ZOOMED = "zoomed"
    """Its focal length changed."""
    SHIFTED = "shifted"
    """It stands elsewhere than it did."""
    LATE = "late"
    """Its pictures are older, or newer, than their times say."""
    SWAPPED = "swapped"
    """It shows the pictures of another camera."""
    ASTRAY = "astray"
    """It sees people, but none where they are."""
    BLIND = "blind"
    """It sees nobody where people are."""
    DISPUTED = "disputed"
    """It or another camera has changed, and the views cannot tell which."""


_ORDER = tuple(Verdict)
_TRUSTED = (Verdict.LEARNING, Verdict.GOOD)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Up to three numbers with their standard errors."""

    value: tuple[float, ...]
    """The most likely ones."""
    error: tuple[float, ...]
    """One standard deviation each."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera. The four changes are those since the camera's own baseline was learned.

    While the camera is accused of one kind of change, that kind is given as if it were the only
    one, over the time since it began, and the others are zero; else all kinds are fitted together
    to the last 8 s and should not differ from zero. Axes are the camera's: x to the right of its
    picture, y down, z forward.
    """

    camera: str
    """Its name."""
    verdict: Verdict
    """What is made of it."""
    partner: str | None
    """The camera whose pictures it shows, or with which it disputes who changed."""
    since_ns: int | None
    """Capture time at which it was accused; None while it is trusted."""
    bias_px: tuple[float, float]
    """Mean residual of everybody (u, v), measured less predicted, over half a minute."""
    drift_px_per_min: tuple[float, float]
    """How fast that moves, over some minutes; 0 until four minutes of play were seen."""
    explained: float
    """Part of its detections over the last second that belong to tracks; NaN without any."""
    turn_deg: Estimate
    """Rotation about x, y and z, degrees: up, to the right and clockwise are positive."""
    zoom: Estimate
    """Relative growth of the focal length."""
    shift_m: Estimate
    """Displacement along x, y and z, metres."""
    late_s: Estimate
    """By how much its pictures are older than their times, seconds."""
    displaced_m: float
    """How far that change moves a point fitted equally by all who see it; NaN where unknown."""
    at_far_baseline: bool
    """Whether `displaced_m` holds at the baseline far from the camera, or where people were last
    (where no other camera looks at that baseline)."""
    noise_scale: float
    """How many times its noise the tracker takes for it, so that it counts less; 1 if trusted."""
    words: str
    """All this in a sentence."""

    @property
    def trusted(self) -> bool:
        """Whether nothing is held against it."""
        return self.verdict in _TRUSTED


@dataclass(frozen=True, slots=True)
class Health:
    """The rig."""

    cameras: tuple[CameraHealth, ...]
    """In the order of the rig."""

    @property
    def accused(self) -> tuple[CameraHealth, ...]:
        """Those that something is held against."""
        return tuple(camera for camera in self.cameras if not camera.trusted)

    @property
    def words(self) -> str:
        """A line for each accused camera, or one that all is well."""
        lines = [camera.words for camera in self.accused]
        return "\n".join(lines) if lines else "all cameras agree with one another"

    def __getitem__(self, name: str) -> CameraHealth:
        """The camera of that name.

        Raises:
            KeyError: No camera has it.
        """
        for camera in self.cameras:
            if camera.camera == name:
                return camera
        raise KeyError(name)


def read_health(reports: Sequence[CameraReport], names: Sequence[str]) -> Health:
    """Name what the core reports, one tuple a camera."""
    pairs = zip(reports, names, strict=True)
    return Health(tuple(_camera(report, name, names) for report, name in pairs))


def _camera(report: CameraReport, name: str, names: Sequence[str]) -> CameraHealth:
    verdict = _ORDER[report[0]]
    effect, error = report[5], report[6]
    degrees = [math.degrees(value) for value in effect[:3]]
    turn = Estimate(tuple(degrees), tuple(math.degrees(value) for value in error[:3]))
    shift = Estimate(tuple(effect[4:7]), tuple(error[4:7]))
    partner = names[report[1]] if report[1] >= 0 else None
    trusted = verdict in _TRUSTED
    displaced = report[8] if report[8] >= 0.0 else math.nan
    place = _place(displaced, report[9])
    found = _finding(verdict, partner, report)
    return CameraHealth(
        camera=name,
        verdict=verdict,
        partner=partner,
        since_ns=None if trusted else report[10],
        bias_px=report[2],
        drift_px_per_min=report[3],
        explained=report[4],
        turn_deg=turn,
        zoom=Estimate((effect[3],), (error[3],)),
        shift_m=shift,
        late_s=Estimate((effect[7],), (error[7],)),
        displaced_m=displaced,
        at_far_baseline=report[9],
        noise_scale=report[7],
        words=f"camera {name} {found}" + (place if verdict in _MOVED else ""),
    )


_MOVED = (Verdict.TURNED, Verdict.ZOOMED, Verdict.SHIFTED)


def _place(displaced_m: float, at_far_baseline: bool) -> str:
    if not displaced_m >= _ERROR_WORTH_SAYING_M:
        return ""
    where = "at the far baseline" if at_far_baseline else "where people are"
    return f": {displaced_m * 1e3:.0f} mm {where}"


def _finding(verdict: Verdict, partner: str | None, report: CameraReport) -> str:
    effect, explained = report[5], report[4]
    size = math.degrees(math.hypot(*effect[:3]))
    zoom, late_s = effect[3], effect[7]
    millimetres = 1e3 * math.hypot(*effect[4:7])
    share = "no part" if math.isnan(explained) else f"{100 * explained:.0f} %"
    when = "late" if late_s > 0 else "early"
    return {
        Verdict.LEARNING: "has not been seen enough of to be judged",
        Verdict.GOOD: "is as it was",
        Verdict.TURNED: f"has turned about {size:.2g} degrees",
        Verdict.ZOOMED: f"has zoomed {'in' if zoom > 0 else 'out'} about {abs(100 * zoom):.2g} %",
        Verdict.SHIFTED: f"has moved about {millimetres:.0f} mm",
        Verdict.LATE: f"is about {abs(1e3 * late_s):.0f} ms {when}",
        Verdict.SWAPPED: f"shows the pictures of camera {partner}",
        Verdict.ASTRAY: f"sees people where nobody is: {share} of its detections fit anybody",
        Verdict.BLIND: "sees nobody where people are",
        Verdict.DISPUTED: f"or camera {partner} has changed; too few others look there to tell",
    }[verdict]
