"""What the pixels of one camera have shown so far: noise, movement, background, darkness."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_node.cameras.verdict import WatchOptions

_S = 1_000_000_000
_MS = 1_000_000
REMEMBERED_LOOKS = 24
"""Looks that are remembered of each camera."""
SETTLED_LOOKS = 40
"""Looks after which a camera's noise is known."""
EARLY_LOOKS = 10
"""Looks after which there is a first idea of it."""
SAME_LOOKS = 5
"""A camera is dead where so many of QUIET_LOOKS looks are the one before to the bit."""
FLICKER = 0.02
"""A camera of whose samples this share usually differs between two looks has noise."""
COLLAPSE = 0.15
"""The noise is gone where the share is at most this part of what it usually is,"""
QUIET_LOOKS = 7
"""in the median over so many looks."""
USUAL_NS = 10 * _S
"""Time constant of what is usual."""
BACKGROUND_SAMPLES = 15
"""The background is the median of so many pictures,"""
BACKGROUND_EVERY_NS = _S
"""one taken every so often while something moves,"""
BACKGROUND_KNOWN = 9
"""and known from so many on."""
LIT_SHARE, LIT_LEVELS = 0.06, 2.0
"""Where the picture's median leaves what it was by more than this share and so many levels, there
is another light, or the camera sees it differently: what is usual and the background begin anew."""
STOPPED_TOGETHER = 3
"""Separate things that stop at one moment do not stand still, they are frozen."""
MOVING_BLOCKS = 2
"""Blocks that must change for something to move."""
GAP_NS = 300 * _MS
"""Movement that pauses for no longer goes on."""
ECHO_LOOKS = 7
"""Looks of a camera that another one's newest may be the copy of: a copy comes a little later."""
STEP_LOOKS = 40
"""Correlations of a camera's picture with its own before that are remembered: two seconds."""


@dataclass(frozen=True, slots=True)
class Look:
    """A frame at a glance."""

    thumb: NDArray[np.float32] | None
    """(36, 64) block means of luma, 0 to 255; None where there are no pixels."""
    changed: float
    """Share of samples that differ from the look before in the calmest quarter of the picture, so
    that people who walk do not count; NaN where nothing is known."""
    mark: int = 0
    """For sources without pixels: a checksum of what was seen; 0 where nothing was."""


@dataclass(slots=True)
class Sight:
    """What the pixels of one camera have shown so far."""

    options: WatchOptions
    """When something counts as still, moving, dark."""
    looks: deque[tuple[int, NDArray[np.float32]]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS)
    )
    """Small pictures, with their times."""
    normals: deque[NDArray[np.float32]] = field(default_factory=lambda: deque(maxlen=ECHO_LOOKS))
    """Pictures as vectors of mean 0 and length 1."""
    shares: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    """Shares of samples that changed, with their times."""
    marks: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    """Checksums of sources without pixels."""
    count: int = 0
    """Looks that told what is usual, in this light."""
    known: float = 0.0
    """Share of samples that usually changed in the light before, until the new one is learnt."""
    same: deque[bool] = field(default_factory=lambda: deque(maxlen=QUIET_LOOKS))
    """Which looks were the one before to the bit."""
    contrast: float = 0.0
    """Standard deviation of the newest picture."""
    anchor: NDArray[np.float32] | None = None
    """The picture that has stood still since :attr:`anchor_ns`."""
    anchor_ns: int = 0
    """Since when it has."""
    stopped: NDArray[np.bool_] | None = None
    """Blocks that had moved when the anchor was taken; None where nothing did, or just began to."""
    light: float | None = None
    """Median of the pictures that what is usual was learnt from."""
    light_ns: int = 0
    """When the newest of them came."""
    quiet: bool = False
    """Whether the noise has gone."""
    stirred_ns: int = 0
    """When something changed last."""
    moving_since_ns: int | None = None
    """When the movement began that goes on, or was the last."""
    moved_ns: int = -_S
    """When something moved last."""
    usual: float = 0.0
    """Share of samples that usually changes."""
    samples: deque[NDArray[np.float32]] = field(
        default_factory=lambda: deque(maxlen=BACKGROUND_SAMPLES)
    )
    """Pictures that the background is made of."""
    sampled_ns: int = -_S
    """When the last of them was taken."""
    background: NDArray[np.float32] | None = None
    """The background, where it is known."""
    dark_since_ns: int | None = None
    """Since when nothing but darkness came."""
    steps: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=STEP_LOOKS))
    """Correlations of pictures with their own before, with their times."""

    def take(self, now_ns: int, look: Look, *, learn: bool) -> None:
        """Take a look in.

        Args:
            now_ns: When its frame arrived.
            look: What it showed.
            learn: Whether it tells what is usual.
        """
        if look.thumb is not None:
            self._lighting(now_ns, float(np.median(look.thumb)))
        self.same.append(self._is_same(look))
        # A dead camera teaches nothing; one that never had noise is often the same.
        learn = learn and not (self.same[-1] and self.had_noise)
        if not np.isnan(look.changed):
            self._flicker(now_ns, look.changed, learn=learn)
        self.count += learn
        if self.count >= SETTLED_LOOKS:
            self.known = 0.0
        if look.mark:
            self.marks.append(look.mark)
        if look.thumb is not None:
            self._picture(now_ns, look.thumb)

    def _is_same(self, look: Look) -> bool:
        """Whether a look is the one before to the bit."""
        if look.thumb is None:
            return look.changed == 0.0
        return bool(self.looks) and np.array_equal(pooled(look.thumb), self.looks[-1][1])

    def _lighting(self, now_ns: int, median_level: float) -> None:
        """Learn anew what is usual in another light: noise changes with a camera's gain."""
        light = median_level if self.light is None else self.light
        rate = min((now_ns - self.light_ns) / USUAL_NS, 1.0)
        self.light, self.light_ns = light + rate * (median_level - light), now_ns
        if abs(median_level - light) > LIT_SHARE * light + LIT_LEVELS:
            # That it had noise stays true: a static picture that comes instead has none at all.
            self.known = self.usual if self._usual_known else self.known
            self.light, self.usual, self.count, self.background = median_level, 0.0, 0, None
            self.shares.clear()
            self.samples.clear()

    def _flicker(self, now_ns: int, changed: float, *, learn: bool) -> None:
        """Follow how many samples usually change, and see whether next to none do any more."""
        before_ns = self.shares[-1][0] if self.shares else now_ns
        self.shares.append((now_ns, changed))
        # A key frame is busy, and two looks may meet one picture: neither says anything alone.
        recent = median([share for _, share in list(self.shares)[-QUIET_LOOKS:]])
        self.quiet = recent <= COLLAPSE * self.usual
        if changed > COLLAPSE * self.usual:
            self.stirred_ns = now_ns
        if learn and self.count < SETTLED_LOOKS:
            # Whatever came before, such as lights that go up, is soon outnumbered.
            self.usual = median([share for _, share in self.shares])
        elif learn and not self.quiet:
            rate = (now_ns - before_ns) / USUAL_NS
            self.usual += min(rate, 1.0) * (recent - self.usual)

    def _picture(self, now_ns: int, thumb: NDArray[np.float32]) -> None:
        options = self.options
        small = pooled(thumb)
        vector = normal(thumb)
        if self.normals:
            self.steps.append((now_ns, float(vector @ self.normals[-1])))
        self.normals.append(vector)
        self.contrast = float(thumb.std())
        self.looks.append((now_ns, small))
        moved = self._movement(now_ns, small)
        if self.anchor is None or most(small - self.anchor) > options.still_levels:
            self.anchor, self.anchor_ns, self.stopped = small, now_ns, moved
        if small.mean() < options.black_mean and small.max() < options.black_block:
            self.dark_since_ns = now_ns if self.dark_since_ns is None else self.dark_since_ns
        else:
            self.dark_since_ns = None
        self._learn_background(now_ns, small)

    def _movement(self, now_ns: int, small: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """See what moves; gives its blocks where movement has gone on for a while."""
        before = next((look for at, look in self.looks if now_ns - at <= GAP_NS), small)
        changed = np.abs(small - before) > self.options.moving_levels
        if np.count_nonzero(changed) >= MOVING_BLOCKS:
            if self.moving_since_ns is None or now_ns - self.moved_ns > GAP_NS:
                self.moving_since_ns = now_ns
            self.moved_ns = now_ns
        since_ns = self.moving_since_ns
        # A picture that jumps, as with a board of lights, seems to move for as long as GAP_NS.
        lasting = since_ns is not None and self.moved_ns - since_ns >= 2 * GAP_NS
        return changed if lasting and self.moved_ns == now_ns else None

    def _learn_background(self, now_ns: int, small: NDArray[np.float32]) -> None:
        """Take a picture into the background; one that stands still teaches nothing."""
        still_ns = now_ns - self.anchor_ns
        if now_ns - self.sampled_ns < BACKGROUND_EVERY_NS or still_ns >= self.options.still_ns:
            return
        self.sampled_ns = now_ns
        self.samples.append(small)
        if len(self.samples) >= BACKGROUND_KNOWN:
            self.background = np.median(np.stack(list(self.samples)), axis=0)

    def still_ns(self, now_ns: int) -> int:
        """Say for how long the picture has stood still."""
        return now_ns - (self.stirred_ns if self.anchor is None else self.anchor_ns)

    @property
    def noisy(self) -> bool:
        """Whether it is known that the camera has noise."""
        return self.usual >= FLICKER and self.count >= SETTLED_LOOKS

    @property
    def _usual_known(self) -> bool:
        return self.usual >= FLICKER and self.count >= EARLY_LOOKS

    @property
    def had_noise(self) -> bool:
        """Whether there is a first idea that it has noise, or it had some in the light before."""
        return self._usual_known or self.known >= FLICKER

    @property
    def dead(self) -> bool:
        """Whether a camera that had noise shows one picture to the bit, in whatever light.

        Less noise than in the light before is no sign of it: some always reaches the block means.
        """
        return self.had_noise and sum(self.same) >= SAME_LOOKS

    @property
    def occupied(self) -> bool:
        """Whether the picture shows more than its background, where that is known."""
        return bool(np.count_nonzero(self._off()) >= MOVING_BLOCKS)

    @property
    def stopped_together(self) -> bool:
        """Whether several that moved stand where they were when the picture began to stand still.

        One that stops may be somebody who waits; a board of lights or another light in the hall
        differs from the background too, but did not move before.
        """
        if self.stopped is None:
            return False
        there = (self._off() & self.stopped).astype(np.uint8)
        return int(cv2.connectedComponents(there)[0]) - 1 >= STOPPED_TOGETHER

    def _off(self) -> NDArray[np.bool_]:
        """Say which blocks differ from the background; none do where that is not known."""
        if self.background is None or self.anchor is None:
            return np.zeros((1, 1), np.bool_)
        off: NDArray[np.bool_] = np.abs(self.anchor - self.background) > self.options.moving_levels
        return off

    def sees_movement(self, now_ns: int) -> bool:
        """Whether something moves, and has for long enough."""
        return (
            now_ns - self.moved_ns <= GAP_NS
            # Where all stop at once, the others' pictures have stood for as long as this one's.
            and now_ns - self.anchor_ns <= self.options.still_ns // 2
            and self.moving_since_ns is not None
            and self.moved_ns - self.moving_since_ns >= self.options.still_ns // 2
        )

    def is_dark(self, now_ns: int) -> bool:
        """Whether nothing but darkness came for long enough."""
        since_ns = self.dark_since_ns
        return since_ns is not None and now_ns - since_ns >= self.options.black_ns

    @property
    def thumb(self) -> NDArray[np.float32] | None:
        """The newest picture, small; None where there is none."""
        return self.looks[-1][1] if self.looks else None

    def thawed_since(self, thumb: NDArray[np.float32] | None) -> bool:
        """Whether a frozen camera shows life: more than the pulse of a key frame.

        Args:
            thumb: The picture that it froze with; None: it had none.
        """
        if self.usual >= FLICKER and not self.quiet:
            return True
        if self.thumb is None or thumb is None:
            return True
        return most(self.thumb - thumb) > 2.0 * self.options.still_levels


def pooled(thumb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the means of two by two blocks: noise halves once more."""
    rows = thumb[::2] + thumb[1::2]
    means: NDArray[np.float32] = (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)
    return means


def most(difference: NDArray[np.float32]) -> float:
    """Give the largest difference, whatever its sign."""
    return float(np.abs(difference).max())


def normal(thumb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a picture as a vector of mean 0 and length 1; a plain one is 0."""
    flat = thumb.reshape(-1) - thumb.mean()
    length = float(np.linalg.norm(flat))
    vector: NDArray[np.float32] = flat / np.float32(length) if length > 0 else flat
    return vector
