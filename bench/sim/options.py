"""The options of the simulated arena. Everything random in it follows from `ArenaOptions.seed`."""

from __future__ import annotations

from dataclasses import dataclass, field

COURT_LENGTH_M = 28.65
COURT_WIDTH_M = 15.24


@dataclass(frozen=True, slots=True)
class RingOptions:
    """Where the cameras hang and what lenses they have."""

    cameras: int = 8
    """How many cameras stand on the ring, evenly by angle."""
    semi_axes_m: tuple[float, float] = (24.0, 21.0)
    """Half axes of the ring along the court's x and y."""
    height_m: tuple[float, float] = (8.0, 12.0)
    """Lowest and highest camera."""
    focal_px: float = 1580.0
    """Mean focal length; each camera's own is within 4 % of it."""
    size_px: tuple[int, int] = (1920, 1080)
    """Width and height of the images."""
    distortion: float = 1.0
    """Scale of the Brown coefficients; 0 makes pinhole cameras."""
    offset_ms: float = 0.0
    """Cameras capture up to this much out of step, each by its own constant amount."""
    readout_ms: float = 0.0
    """Rolling shutter: time from the first row to the last."""


@dataclass(frozen=True, slots=True)
class ObservationOptions:
    """What detectors make of people: every way in which a detection may be wrong."""

    sigma_px: float = 2.0
    """Root mean square noise of a seen joint, per axis."""
    camera_spread: float = 0.0
    """Cameras differ in noise by this relative amount (0.3: between 0.7 and 1.3 times)."""
    confidence_spread: float = 0.2
    """How much noise differs between the joints of one view: log-normal width. Confidence tells,
    so whoever heeds it gains: as if the noise were exp(-2 w^2) of what it is, for a width w."""
    joint_miss: float = 0.05
    """Probability that a joint is missing."""
    person_miss: float = 0.03
    """Probability that a person is not detected in a view."""
    false_rate: float = 0.2
    """Mean number of false skeletons in a view."""
    snap: float = 0.2
    """Probability that a joint hidden by another person lands on that person's same joint."""
    drop: float = 0.4
    """Probability that a hidden joint is missing."""
    hidden_sigma: float = 2.0
    """How many times noisier the hidden joints are that neither snap nor are missing."""
    flip: float = 0.005
    """Probability that left and right of a detection are exchanged."""
    hold_ms: float = 0.0
    """Errors of hidden joints last this long in a view; 0 draws each frame anew."""


@dataclass(frozen=True, slots=True)
class ArenaOptions:
    """One simulated stretch of play."""

    seed: int = 1
    """Everything random follows from it."""
    people: int = 13
    """Players and referees: three of thirteen are referees."""
    frames: int = 600
    """How many frame-sets there are."""
    fps: float = 60.0
    """Frame-sets a second."""
    tempo: float = 1.0
    """How fast the game is played: 1.5 has 1.5 times the speeds, 2.25 times the accelerations."""
    start_ns: int = 1_760_000_000_000_000_000
    """Time of the first frame-set, int64 ns UTC."""
    ring: RingOptions = field(default_factory=RingOptions)
    """The cameras."""
    observation: ObservationOptions = field(default_factory=ObservationOptions)
    """The detections."""

    @property
    def duration_s(self) -> float:
        """How much play is planned, with a margin for times beyond the last frame."""
        return self.tempo * (self.frames / self.fps + 2.0)
