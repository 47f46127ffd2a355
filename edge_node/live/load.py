"""What a node leaves out when inference cannot follow its cameras, in which order, and until when.

The policy is a list of steps, each milder than the next; on step k the node does what step k says.
It goes one step up when too many frames were overtaken in a window (a newer frame of the camera
came before this one's turn), and tries the step below again after a calm time. A try that fails
makes the next one wait twice as long, so that a machine that is simply too small does not swing.

No clock in here: the caller says what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_node.frames import Degradation, DegradationKind
from tipoff.errors import InvalidInputError

_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LoadStep:
    """What is done less, and how much less."""

    detect_factor: int = 1
    """Whole frames are searched so many times more rarely."""
    posed_share: float = 1.0
    """Part of the people who are posed in each frame, those from whom most is gained."""
    rate_divisor: int = 1
    """Only every so many frame-sets are looked at."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.detect_factor < 1 or self.rate_divisor < 1 or not 0.0 < self.posed_share <= 1.0:
            raise InvalidInputError(
                f"{self} is no step of a load policy: give a detect_factor and a rate_divisor of 1 "
                "or more, and a posed_share above 0 and up to 1"
            )

    def degradations(self) -> tuple[Degradation, ...]:
        """Say what is done less, for the stream."""
        said = []
        if self.detect_factor > 1:
            detail = f"inference cannot follow: frames are searched {self.detect_factor} times "
            said.append(Degradation(DegradationKind.FEWER_DETECTIONS, f"{detail}more rarely"))
        if self.posed_share < 1.0:
            detail = f"inference cannot follow: {self.posed_share:.0%} of the people are posed"
            said.append(Degradation(DegradationKind.FEWER_POSES, f"{detail} in each frame"))
        if self.rate_divisor > 1:
            detail = f"inference cannot follow: one frame-set in {self.rate_divisor} is used"
            said.append(Degradation(DegradationKind.LOWER_RATE, detail))
        return tuple(said)


DEFAULT_STEPS = (
    LoadStep(detect_factor=2),
    LoadStep(detect_factor=4),
    LoadStep(detect_factor=4, posed_share=0.75),
    LoadStep(detect_factor=4, posed_share=0.5),
    LoadStep(detect_factor=4, posed_share=0.5, rate_divisor=2),
    LoadStep(detect_factor=4, posed_share=0.5, rate_divisor=3),
    LoadStep(detect_factor=4, posed_share=0.35, rate_divisor=4),
)
"""Fewer detections first, then fewer people, then a lower rate."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """When a node changes its step."""

    steps: tuple[LoadStep, ...] = DEFAULT_STEPS
    """The steps, the mildest first."""
    window_s: float = 1.0
    """Over how long frames are counted."""
    overtaken_share: float = 0.1
    """A step up when more of the frames than this were overtaken in a window."""
    calm_s: float = 5.0
    """How long it must have been calm before the step below is tried."""
    calm_most_s: float = 60.0
    """Longest such time, however many tries failed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not (self.window_s > 0 and 0.0 < self.overtaken_share < 1.0):
            raise InvalidInputError("a load policy needs a window_s above 0 and a share in (0, 1)")
        if not 0 < self.calm_s <= self.calm_most_s:
            raise InvalidInputError("a load policy needs 0 < calm_s <= calm_most_s")


FULL = LoadStep()
"""Nothing is left out."""


@dataclass(slots=True)
class _Window:
    began_ns: int = -1
    frames: int = 0
    overtaken: int = 0


@dataclass(slots=True)
class LoadPolicy:
    """Chooses the step. Call it from one thread."""

    options: LoadOptions = field(default_factory=LoadOptions)
    """When it changes."""
    level: int = 0
    """Steps that are in force: 0 is none."""
    _window: _Window = field(default_factory=_Window)
    _calm_since_ns: int = 0
    _changed_ns: int = 0
    _wait_s: float = 0.0
    _trying: bool = False

    @property
    def step(self) -> LoadStep:
        """What is in force; any thread may ask."""
        level = self.level  # once: it may change meanwhile
        return self.options.steps[level - 1] if level else FULL

    def count(self, now_ns: int, frames: int, overtaken: int) -> bool:
        """Take in a round, and say whether the step has changed.

        Args:
            now_ns: Now, on any clock that does not jump.
            frames: Frames that were looked at or left out by the step in force.
            overtaken: Frames that were overtaken since the last call.
        """
        window = self._window
        if window.began_ns < 0:
            window.began_ns = self._calm_since_ns = self._changed_ns = now_ns
            self._wait_s = self.options.calm_s
        window.frames += frames
        window.overtaken += overtaken
        if now_ns - window.began_ns < self.options.window_s * _S:
            return False
        total = window.frames + window.overtaken
        share = window.overtaken / total if total else 0.0
        self._window = _Window(now_ns)
        return self._decide(now_ns, share)

    def _decide(self, now_ns: int, share: float) -> bool:
        if share > self.options.overtaken_share:
            self._calm_since_ns = now_ns
            return self._up(now_ns)
        if not self.level or now_ns - self._calm_since_ns < self._wait_s * _S:
            return False
        self.level -= 1
        self._trying, self._changed_ns, self._calm_since_ns = True, now_ns, now_ns
        return True

    def _up(self, now_ns: int) -> bool:
        failed = self._trying and now_ns - self._changed_ns <= self._wait_s * _S
        if failed:
            self._wait_s = min(2.0 * self._wait_s, self.options.calm_most_s)
        elif not self.level:
            self._wait_s = self.options.calm_s
        self._trying = False
        if self.level == len(self.options.steps):
            return False
        self.level += 1
        self._changed_ns = now_ns
        return True
