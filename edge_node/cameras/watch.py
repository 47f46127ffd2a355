"""What a camera is doing, from pixels and stamps: frozen, black, duplicated, disconnected.

A pure function of what it was told and when: no clock, no thread, no picture in here. Frames are
told as *looks* (`edge_node.cameras.pixels`): a small picture of block means, and the share of
samples that differ from the look before.

**Frozen** is hard to tell from a scene that stands still, so the verdict rests on what a freeze has
and stillness has not:

- a sensor's noise goes away with the sensor: where a camera's background used to flicker, and now
  nothing does any more, it is frozen, whatever the scene;
- somebody who is in the picture stands like a statue while other cameras see people move: the
  block means, in which noise averages out, stay what they were, and differ from the camera's own
  background; so noise that is added behind the freeze does not hide it;
- with nobody in the picture it may as well be an empty half of the court: where it never had any
  noise, only after ``empty_still_ns`` of it, while others see movement, is it called frozen. Until
  then the mistake costs little either way.

Where nothing moves anywhere nothing is claimed.

**Duplicated**: two cameras whose small pictures are the same up to contrast and brightness, for
long enough. The one whose picture jumped when it began is the copy; where neither did, nobody can
say which one is in its place, and both are left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from edge_node.frames import CameraState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_S = 1_000_000_000
_MS = 1_000_000
REMEMBERED_BEATS = 15
"""Intervals between frames that a camera's beat is taken from."""
REMEMBERED_LOOKS = 24
"""Looks that are remembered of each camera."""
SETTLED_LOOKS = 40
"""Looks after which a camera's noise is known."""
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
MOVING_BLOCKS = 2
"""Blocks that must change for something to move."""
GAP_NS = 300 * _MS
"""Movement that pauses for no longer goes on."""
ECHO_LOOKS = 7
"""Looks of a camera that another one's newest may be the copy of: a copy comes a little later."""
STEP_LOOKS = 40
"""Correlations of a camera's picture with its own before that are remembered: two seconds."""
CUT_NS = _S
"""So long before two cameras became alike the one that is the copy jumped, at most."""
PAIRS_EVERY_NS = 40 * _MS
"""Pairs are compared no more often."""
FEW_LOOKS = 5
"""Looks on which a median share rests, at least."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """When a camera is called what. All times are well within the second that is promised."""

    silent_beats: float = 4.0
    """Silent for so many of its own beats: disconnected, within the two bounds below."""
    silent_least_ns: int = 650 * _MS
    """Not sooner than this."""
    silent_most_ns: int = 900 * _MS
    """Not later than this."""
    still_ns: int = 650 * _MS
    """Still for so long is frozen."""
    empty_still_ns: int = 30 * _S
    """Still for so long is frozen also where nobody is in the picture and it had no noise: longer
    than a half of the court is empty."""
    black_ns: int = 500 * _MS
    """Dark for so long is black."""
    alike_ns: int = 500 * _MS
    """Alike for so long is duplicated."""
    back_ns: int = 250 * _MS
    """Well for so long is well."""
    still_levels: float = 2.0
    """A block mean that changes by less stands still, in levels of 255."""
    moving_levels: float = 6.0
    """A block mean that changes by more moves."""
    black_mean: float = 28.0
    """A picture whose mean is below is dark (16 is black in most videos),"""
    black_block: float = 44.0
    """if its brightest block is below this."""
    alike: float = 0.99
    """Least correlation of two small pictures that show the same."""
    plain_levels: float = 6.0
    """A picture of less contrast than this standard deviation is like any other."""
    jump: float = 0.3
    """A camera whose picture correlates so much less with its own before, and less than the
    other's does with its own, has jumped."""


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a camera is doing."""

    state: CameraState
    """What."""
    detail: str = ""
    """Why, in words; empty where nothing is wrong."""


LIVE = Verdict(CameraState.LIVE)
BLIND = (CameraState.FROZEN, CameraState.BLACK, CameraState.DUPLICATED)
"""States in which frames come that are worth nothing."""


@dataclass(slots=True)
class _Sight:
    """What the pixels of one camera have shown so far."""

    looks: deque[tuple[int, NDArray[np.float32]]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS)
    )
    normals: deque[NDArray[np.float32]] = field(default_factory=lambda: deque(maxlen=ECHO_LOOKS))
    shares: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    marks: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    count: int = 0
    contrast: float = 0.0
    anchor: NDArray[np.float32] | None = None
    anchor_ns: int = 0
    quiet: bool = False
    stirred_ns: int = 0
    moving_since_ns: int | None = None
    moved_ns: int = -_S
    usual: float = 0.0
    samples: deque[NDArray[np.float32]] = field(
        default_factory=lambda: deque(maxlen=BACKGROUND_SAMPLES)
    )
    sampled_ns: int = -_S
    background: NDArray[np.float32] | None = None
    dark_since_ns: int | None = None
    steps: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=STEP_LOOKS))


@dataclass(slots=True)
class _Camera:
    """One camera, as far as it was told."""

    name: str
    attached: bool = False
    verdict: Verdict = field(default_factory=lambda: Verdict(CameraState.WAITING))
    since_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    lost: str = ""
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BEATS))
    sight: _Sight = field(default_factory=_Sight)
    well_since_ns: int | None = None
    blind_thumb: NDArray[np.float32] | None = None


class Watch:
    """Judges the cameras of a rig. Call it from one thread at a time, with times that do not fall.

    Args:
        names: The cameras, in the rig's order.
        options: When a camera is called what.
    """

    def __init__(self, names: Sequence[str], options: WatchOptions | None = None) -> None:
        self._options = options or WatchOptions()
        self._cameras = [_Camera(name) for name in names]
        self._alike_since: dict[tuple[int, int], int] = {}
        self._copies: dict[tuple[int, int], tuple[int, ...]] = {}
        self._compared_ns = -_S

    def attached(self, camera: int, now_ns: int) -> None:
        """A source was attached, or another one in its place."""
        fresh = _Camera(self._cameras[camera].name, attached=True, since_ns=now_ns)
        fresh.sight.steps.append((now_ns, 0.0))
        self._cameras[camera] = fresh
        self._forget_pairs(camera)

    def removed(self, camera: int, now_ns: int) -> None:
        """A source was taken away."""
        self._cameras[camera] = _Camera(
            self._cameras[camera].name,
            verdict=Verdict(CameraState.WAITING, "it has no source"),
            since_ns=now_ns,
        )
        self._forget_pairs(camera)

    def finished(self, camera: int, now_ns: int, failure: str = "") -> None:
        """A source has ended as it should, or for good with a failure."""
        state = CameraState.FAILED if failure else CameraState.ENDED
        self._set(self._cameras[camera], Verdict(state, failure), now_ns)

    def lost(self, camera: int, now_ns: int, why: str) -> None:
        """A connection was lost, or could not be made; it is tried again."""
        self._cameras[camera].lost = why
        self._set(self._cameras[camera], Verdict(CameraState.DISCONNECTED, why), now_ns)

    def saw(self, camera: int, now_ns: int, look: Look | None = None) -> None:
        """A frame came.

        Args:
            camera: Whose.
            now_ns: When it arrived, on any clock that does not jump.
            look: What it showed; None where nobody looked.
        """
        seen = self._cameras[camera]
        if seen.last_ns is not None and now_ns > seen.last_ns and not seen.lost:
            seen.intervals.append(now_ns - seen.last_ns)
        if seen.lost or seen.verdict.state is CameraState.DISCONNECTED:
            seen.sight.steps.append((now_ns, 0.0))
        seen.last_ns, seen.lost = now_ns, ""
        seen.first_ns = now_ns if seen.first_ns is None else seen.first_ns
        if look is not None:
            self._look(seen, now_ns, look)

    def judge(self, now_ns: int) -> tuple[Verdict, ...]:
        """Give what every camera is doing now, in the rig's order."""
        alike = self._find_alike(now_ns)
        for index, camera in enumerate(self._cameras):
            ended = camera.verdict.state in (CameraState.ENDED, CameraState.FAILED)
            if camera.attached and not ended:
                self._set(camera, self._judged(index, now_ns, alike), now_ns)
        return tuple(camera.verdict for camera in self._cameras)

    def since_ns(self, camera: int) -> int:
        """Say when a camera came into its state."""
        return self._cameras[camera].since_ns

    def _set(self, camera: _Camera, verdict: Verdict, now_ns: int) -> None:
        if camera.verdict.state is not verdict.state:
            camera.since_ns = now_ns
        camera.verdict = verdict

    def _forget_pairs(self, camera: int) -> None:
        self._alike_since = {p: t for p, t in self._alike_since.items() if camera not in p}
        self._copies = {p: c for p, c in self._copies.items() if camera not in p}

    # ---- taking looks in ----------------------------------------------------------------------

    def _look(self, camera: _Camera, now_ns: int, look: Look) -> None:
        sight = camera.sight
        if not np.isnan(look.changed):
            self._flicker(sight, now_ns, look.changed, learn=camera.verdict.state not in BLIND)
        sight.count += 1
        if look.mark:
            sight.marks.append(look.mark)
        if look.thumb is not None:
            self._picture(sight, now_ns, look.thumb)

    @staticmethod
    def _flicker(sight: _Sight, now_ns: int, changed: float, *, learn: bool) -> None:
        """Follow how many samples usually change, and see whether next to none do any more."""
        before_ns = sight.shares[-1][0] if sight.shares else now_ns
        sight.shares.append((now_ns, changed))
        # A key frame is busy, and two looks may meet one picture: neither says anything alone.
        recent = median([share for _, share in list(sight.shares)[-QUIET_LOOKS:]])
        sight.quiet = recent <= COLLAPSE * sight.usual
        if changed > COLLAPSE * sight.usual:
            sight.stirred_ns = now_ns
        if learn and not sight.quiet:
            rate = max((now_ns - before_ns) / USUAL_NS, 1.0 / len(sight.shares) ** 2)
            sight.usual += min(rate, 1.0) * (recent - sight.usual)

    def _picture(self, sight: _Sight, now_ns: int, thumb: NDArray[np.float32]) -> None:
        options = self._options
        small = _pooled(thumb)
        normal = _normal(thumb)
        if sight.normals:
            sight.steps.append((now_ns, float(normal @ sight.normals[-1])))
        sight.normals.append(normal)
        sight.contrast = float(thumb.std())
        sight.looks.append((now_ns, small))
        if sight.anchor is None or _most(small - sight.anchor) > options.still_levels:
            sight.anchor, sight.anchor_ns = small, now_ns
        self._movement(sight, now_ns, small)
        if small.mean() < options.black_mean and small.max() < options.black_block:
            sight.dark_since_ns = now_ns if sight.dark_since_ns is None else sight.dark_since_ns
        else:
            sight.dark_since_ns = None
        self._learn_background(sight, now_ns, small)

    def _movement(self, sight: _Sight, now_ns: int, small: NDArray[np.float32]) -> None:
        before = next((look for at, look in sight.looks if now_ns - at <= GAP_NS), small)
        changed = np.abs(small - before) > self._options.moving_levels
        if np.count_nonzero(changed) >= MOVING_BLOCKS:
            if sight.moving_since_ns is None or now_ns - sight.moved_ns > GAP_NS:
                sight.moving_since_ns = now_ns
            sight.moved_ns = now_ns

    def _learn_background(self, sight: _Sight, now_ns: int, small: NDArray[np.float32]) -> None:
        """Take a picture into the background; one that stands still teaches nothing."""
        still_ns = now_ns - sight.anchor_ns
        if now_ns - sight.sampled_ns < BACKGROUND_EVERY_NS or still_ns >= self._options.still_ns:
            return
        sight.sampled_ns = now_ns
        sight.samples.append(small)
        if len(sight.samples) >= BACKGROUND_KNOWN:
            sight.background = np.median(np.stack(list(sight.samples)), axis=0)

    # ---- judging ------------------------------------------------------------------------------

    def _judged(self, index: int, now_ns: int, alike: dict[int, str]) -> Verdict:
        camera = self._cameras[index]
        if camera.lost:
            return Verdict(CameraState.DISCONNECTED, camera.lost)
        if camera.last_ns is None:
            return Verdict(CameraState.WAITING, "no frame has come yet")
        silent_ns = now_ns - camera.last_ns
        if silent_ns > self._silent_ns(camera):
            return Verdict(CameraState.DISCONNECTED, f"no frame for {silent_ns / _S:.1f} s")
        wrong = self._wrong(index, now_ns, alike)
        if wrong is not None:
            camera.well_since_ns = None
            if camera.blind_thumb is None or camera.verdict.state is not wrong.state:
                camera.blind_thumb = self._thumb(camera)
            return wrong
        return self._recovering(camera, now_ns)

    def _silent_ns(self, camera: _Camera) -> float:
        options = self._options
        if not camera.intervals:
            return options.silent_most_ns
        silent = options.silent_beats * median(camera.intervals)
        return min(max(silent, options.silent_least_ns), options.silent_most_ns)

    def _recovering(self, camera: _Camera, now_ns: int) -> Verdict:
        """Let a camera be live again once it has been well for a while."""
        if camera.verdict.state not in BLIND:
            return LIVE
        if camera.verdict.state is CameraState.FROZEN and not self._thawed(camera):
            camera.well_since_ns = None
            return camera.verdict
        if camera.well_since_ns is None:
            camera.well_since_ns = now_ns
        if now_ns - camera.well_since_ns < self._options.back_ns:
            return camera.verdict
        camera.well_since_ns = camera.blind_thumb = None
        return LIVE

    def _thawed(self, camera: _Camera) -> bool:
        """Whether a frozen camera shows life: more than the pulse of a key frame."""
        thumb, sight = self._thumb(camera), camera.sight
        if sight.usual >= FLICKER and not sight.quiet:
            return True
        if thumb is None or camera.blind_thumb is None:
            return True
        return _most(thumb - camera.blind_thumb) > 2.0 * self._options.still_levels

    @staticmethod
    def _thumb(camera: _Camera) -> NDArray[np.float32] | None:
        return camera.sight.looks[-1][1] if camera.sight.looks else None

    def _wrong(self, index: int, now_ns: int, alike: dict[int, str]) -> Verdict | None:
        sight, options = self._cameras[index].sight, self._options
        if sight.dark_since_ns is not None and now_ns - sight.dark_since_ns >= options.black_ns:
            return Verdict(CameraState.BLACK, "nothing but darkness comes")
        why = self._frozen(index, now_ns)
        if why:
            return Verdict(CameraState.FROZEN, why)
        if index in alike:
            return Verdict(CameraState.DUPLICATED, alike[index])
        return None

    def _frozen(self, index: int, now_ns: int) -> str:
        sight, options = self._cameras[index].sight, self._options
        noisy = sight.usual >= FLICKER and sight.count >= SETTLED_LOOKS
        still_ns = now_ns - (sight.stirred_ns if sight.anchor is None else sight.anchor_ns)
        if noisy and sight.quiet and still_ns >= options.still_ns:
            return f"nothing moves or flickers for {still_ns / _S:.1f} s"
        if sight.anchor is None:
            return ""
        moving = self._others_moving(index, now_ns)
        if still_ns < options.still_ns or not moving:
            return ""
        flickers = noisy and not sight.quiet
        if (flickers or still_ns < options.empty_still_ns) and not self._occupied(sight):
            return ""
        return f"the same picture for {still_ns / _S:.1f} s, while {moving} others see movement"

    def _others_moving(self, index: int, now_ns: int) -> int:
        """Count the others that have seen movement for long enough, if they are half or more."""
        others = [
            camera.sight
            for other, camera in enumerate(self._cameras)
            if other != index and camera.verdict.state is CameraState.LIVE and camera.sight.looks
        ]
        moving = sum(
            now_ns - sight.moved_ns <= GAP_NS
            # Where all stop at once, the others' pictures have stood for as long as this one's.
            and now_ns - sight.anchor_ns <= self._options.still_ns // 2
            and sight.moving_since_ns is not None
            and sight.moved_ns - sight.moving_since_ns >= self._options.still_ns // 2
            for sight in others
        )
        return moving if 2 * moving >= len(others) else 0

    def _occupied(self, sight: _Sight) -> bool:
        """Whether the picture shows more than its background, where that is known."""
        if sight.background is None or sight.anchor is None:
            return False
        off = np.abs(sight.anchor - sight.background) > self._options.moving_levels
        return bool(np.count_nonzero(off) >= MOVING_BLOCKS)

    # ---- pairs --------------------------------------------------------------------------------

    def _find_alike(self, now_ns: int) -> dict[int, str]:
        """Give the cameras that show what another one shows, and whose picture it is."""
        if now_ns - self._compared_ns >= PAIRS_EVERY_NS:
            self._compared_ns = now_ns
            pairs = self._pairs_alike(now_ns)
            self._alike_since = {p: self._alike_since.get(p, now_ns) for p in pairs}
        copies: dict[int, str] = {}
        for pair, since_ns in self._alike_since.items():
            if now_ns - since_ns < self._options.alike_ns:
                continue
            if pair not in self._copies:
                self._copies[pair] = self._jumped(pair, since_ns - CUT_NS)
            for copy in self._copies[pair]:
                other = self._cameras[sum(pair) - copy].name
                copies[copy] = f"it shows what {other} shows"
        self._copies = {p: c for p, c in self._copies.items() if p in self._alike_since}
        return copies

    def _jumped(self, pair: tuple[int, int], since_ns: int) -> tuple[int, ...]:
        """Say which of two is the copy: the one whose picture jumped, else both."""
        least = [
            min((step for at, step in self._cameras[c].sight.steps if at >= since_ns), default=1.0)
            for c in pair
        ]
        if abs(least[0] - least[1]) < self._options.jump:
            return pair
        return (pair[int(least[1] < least[0])],)

    def _pairs_alike(self, now_ns: int) -> list[tuple[int, int]]:
        fresh = [
            index
            for index, camera in enumerate(self._cameras)
            if camera.last_ns is not None and now_ns - camera.last_ns <= self._silent_ns(camera)
        ]
        return self._pictures_alike(fresh) + self._marks_alike(fresh)

    def _pictures_alike(self, fresh: list[int]) -> list[tuple[int, int]]:
        """Pairs of which either one's newest look is among the other's last ones."""
        shown = [index for index in fresh if self._shows_something(index)]
        if len(shown) < 2:
            return []
        newest = np.stack([self._cameras[index].sight.normals[-1] for index in shown])
        best = np.zeros((len(shown), len(shown)))
        for column, index in enumerate(shown):
            echoes = np.stack(list(self._cameras[index].sight.normals))
            best[:, column] = (newest @ echoes.T).max(axis=1)
        alike = np.argwhere(np.triu(np.maximum(best, best.T) >= self._options.alike, 1))
        return [(shown[a], shown[b]) for a, b in alike]

    def _shows_something(self, index: int) -> bool:
        return self._cameras[index].sight.contrast >= self._options.plain_levels

    def _marks_alike(self, fresh: list[int]) -> list[tuple[int, int]]:
        """Pairs of recorded cameras whose last keypoints are the same to the bit."""
        marks = {index: list(self._cameras[index].sight.marks) for index in fresh}
        known = {index: last for index, last in marks.items() if len(last) >= FEW_LOOKS}
        return [
            (a, b)
            for a in known
            for b in known
            if a < b and len(set(known[a][-FEW_LOOKS:]) & set(known[b])) == FEW_LOOKS
        ]


def _pooled(thumb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the means of two by two blocks: noise halves once more."""
    rows = thumb[::2] + thumb[1::2]
    pooled: NDArray[np.float32] = (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)
    return pooled


def _most(difference: NDArray[np.float32]) -> float:
    return float(np.abs(difference).max())


def _normal(thumb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a picture as a vector of mean 0 and length 1; a plain one is 0."""
    flat = thumb.reshape(-1) - thumb.mean()
    length = float(np.linalg.norm(flat))
    normal: NDArray[np.float32] = flat / np.float32(length) if length > 0 else flat
    return normal
