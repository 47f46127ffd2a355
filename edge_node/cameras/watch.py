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
- with nobody in the picture it may as well be an empty half of the court: only after
  ``empty_still_ns`` of it, while others see movement, is it called frozen. Until then the mistake
  costs little either way.

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
"""Looks after which a camera's noise and background are known."""
FLICKER = 0.02
"""A camera whose samples differ by this share between two looks, at the quietest, has noise."""
COLLAPSE = 0.1
"""The noise is gone where the share is this part of what it was."""
BACKGROUND_NS = 20 * _S
"""Time constant of the background."""
FLOOR_NS = 10 * _S
"""Time constant of the noise floor, upwards."""
MOVING_BLOCKS = 2
"""Blocks that must change for something to move."""
GAP_NS = 300 * _MS
"""Movement that pauses for no longer goes on."""
FEW_LOOKS = 5
"""Looks on which a median share rests, at least."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """When a camera is called what. All times are well within the second that is promised."""

    silent_beats: float = 4.0
    """Silent for so many of its own beats: disconnected, within the two bounds below."""
    silent_least_ns: int = 400 * _MS
    """Not sooner than this."""
    silent_most_ns: int = 900 * _MS
    """Not later than this."""
    still_ns: int = 650 * _MS
    """Still for so long is frozen."""
    empty_still_ns: int = 5 * _S
    """Still for so long is frozen also where nobody is in the picture."""
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
    jump: float = 0.9
    """A camera whose picture correlates less with its own before has jumped."""


@dataclass(frozen=True, slots=True)
class Look:
    """A frame at a glance."""

    thumb: NDArray[np.float32] | None
    """(36, 64) block means of luma, 0 to 255; None where there are no pixels."""
    changed: float
    """Share of its samples that differ from the look before; NaN where nothing is known."""
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
    shares: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    marks: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LOOKS))
    count: int = 0
    anchor: NDArray[np.float32] | None = None
    anchor_ns: int = 0
    quiet_since_ns: int | None = None
    moving_since_ns: int | None = None
    moved_ns: int = -_S
    floor: float = 0.0
    background: NDArray[np.float32] | None = None
    dark_since_ns: int | None = None
    jumped_ns: int = -(1 << 62)


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

    def attached(self, camera: int, now_ns: int) -> None:
        """A source was attached, or another one in its place."""
        fresh = _Camera(self._cameras[camera].name, attached=True, since_ns=now_ns)
        fresh.sight.jumped_ns = now_ns
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
            seen.sight.jumped_ns = now_ns
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

    # ---- taking looks in ----------------------------------------------------------------------

    def _look(self, camera: _Camera, now_ns: int, look: Look) -> None:
        sight = camera.sight
        before_ns = sight.shares[-1][0] if sight.shares else now_ns
        if not np.isnan(look.changed):
            sight.shares.append((now_ns, look.changed))
        sight.count += 1
        if look.mark:
            sight.marks.append(look.mark)
        if look.thumb is not None:
            self._picture(sight, now_ns, look.thumb, now_ns - before_ns)
        blind = camera.verdict.state in BLIND
        if not blind and sight.quiet_since_ns is None and not np.isnan(look.changed):
            self._learn_floor(sight, look.changed, now_ns - before_ns)
        quiet = not np.isnan(look.changed) and look.changed <= COLLAPSE * sight.floor
        if not quiet:
            # One busy look (a key frame) in a quiet time does not end it; two do.
            if sight.quiet_since_ns is not None and self._share(sight, 3) > COLLAPSE * sight.floor:
                sight.quiet_since_ns = None
        elif sight.quiet_since_ns is None:
            sight.quiet_since_ns = now_ns

    def _learn_floor(self, sight: _Sight, changed: float, elapsed_ns: int) -> None:
        """Follow the least share that a camera shows: down soon, up slowly."""
        if sight.count <= SETTLED_LOOKS // 4:
            sight.floor = changed if sight.count <= 2 else min(sight.floor, changed)
            return
        rate = elapsed_ns / FLOOR_NS * (1.0 if changed > sight.floor else 5.0)
        sight.floor += min(rate, 1.0) * (changed - sight.floor)

    def _picture(
        self, sight: _Sight, now_ns: int, thumb: NDArray[np.float32], elapsed_ns: int
    ) -> None:
        options = self._options
        small = _pooled(thumb)
        if sight.looks and _correlation(thumb, sight.looks[-1][1]) < options.jump:
            sight.jumped_ns = now_ns
        sight.looks.append((now_ns, thumb))
        if sight.anchor is None or np.abs(small - sight.anchor).max() > options.still_levels:
            sight.anchor, sight.anchor_ns = small, now_ns
        before = next((t for at, t in sight.looks if now_ns - at <= GAP_NS), thumb)
        changed = np.abs(small - _pooled(before)) > options.moving_levels
        if changed.sum() >= MOVING_BLOCKS:
            if sight.moving_since_ns is None or now_ns - sight.moved_ns > GAP_NS:
                sight.moving_since_ns = now_ns
            sight.moved_ns = now_ns
        if thumb.mean() < options.black_mean and small.max() < options.black_block:
            sight.dark_since_ns = now_ns if sight.dark_since_ns is None else sight.dark_since_ns
        else:
            sight.dark_since_ns = None
        if sight.background is None:
            sight.background = small.copy()
        elif now_ns - sight.anchor_ns < options.still_ns:
            # A picture that stands still teaches nothing: it would become its own background.
            rate = min(max(elapsed_ns / BACKGROUND_NS, 1.0 / (sight.count + 1)), 1.0)
            sight.background += np.float32(rate) * (small - sight.background)

    @staticmethod
    def _share(sight: _Sight, looks: int) -> float:
        """Give the median share of the last looks."""
        return median([share for _, share in list(sight.shares)[-looks:]])

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
        if sight.floor >= FLICKER and sight.shares and sight.quiet_since_ns is None:
            return True
        if thumb is None or camera.blind_thumb is None:
            return True
        off = np.abs(_pooled(thumb) - _pooled(camera.blind_thumb))
        return bool(off.max() > 2.0 * self._options.still_levels)

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
        since = sight.quiet_since_ns
        noisy = sight.floor >= FLICKER and sight.count >= SETTLED_LOOKS
        if noisy and since is not None and now_ns - since >= options.still_ns:
            return f"not a pixel flickers for {(now_ns - since) / _S:.1f} s"
        if sight.anchor is None:
            return ""
        still_ns = now_ns - sight.anchor_ns
        moving = self._others_moving(index, now_ns)
        if still_ns < options.still_ns or not moving:
            return ""
        if still_ns < options.empty_still_ns and not self._occupied(sight):
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
            and sight.moving_since_ns is not None
            and sight.moved_ns - sight.moving_since_ns >= self._options.still_ns // 2
            for sight in others
        )
        return moving if 2 * moving >= len(others) else 0

    def _occupied(self, sight: _Sight) -> bool:
        """Whether the picture shows more than its background; unknown is yes."""
        if sight.background is None or sight.anchor is None or sight.count < SETTLED_LOOKS:
            return True
        off = np.abs(sight.anchor - sight.background) > self._options.moving_levels
        return bool(off.sum() >= MOVING_BLOCKS)

    # ---- pairs --------------------------------------------------------------------------------

    def _find_alike(self, now_ns: int) -> dict[int, str]:
        """Give the cameras that show what another one shows, and whose picture it is."""
        pairs = self._pairs_alike(now_ns)
        self._alike_since = {p: self._alike_since.get(p, now_ns) for p in pairs}
        copies: dict[int, str] = {}
        for (a, b), since_ns in self._alike_since.items():
            if now_ns - since_ns < self._options.alike_ns:
                continue
            for copy in self._copies(a, b, since_ns):
                other = self._cameras[b if copy == a else a].name
                copies[copy] = f"it shows what {other} shows"
        return copies

    def _copies(self, a: int, b: int, since_ns: int) -> tuple[int, ...]:
        """Say which of two is the copy: the one that jumped when it began, else both."""
        begin_ns = since_ns - _S
        jumped = [c for c in (a, b) if self._cameras[c].sight.jumped_ns >= begin_ns]
        return (jumped[0],) if len(jumped) == 1 else (a, b)

    def _pairs_alike(self, now_ns: int) -> list[tuple[int, int]]:
        fresh = [
            index
            for index, camera in enumerate(self._cameras)
            if camera.last_ns is not None and now_ns - camera.last_ns <= self._silent_ns(camera)
        ]
        return self._pictures_alike(fresh) + self._marks_alike(fresh)

    def _pictures_alike(self, fresh: list[int]) -> list[tuple[int, int]]:
        rows, indices = [], []
        for index in fresh:
            thumb = self._thumb(self._cameras[index])
            if thumb is not None and thumb.std() >= self._options.plain_levels:
                rows.append(_normal(thumb))
                indices.append(index)
        if len(rows) < 2:
            return []
        stacked = np.stack(rows)
        same = np.argwhere(np.triu(stacked @ stacked.T >= self._options.alike, 1))
        return [(indices[a], indices[b]) for a, b in same]

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
    rows, columns = thumb.shape
    pooled: NDArray[np.float32] = thumb.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return pooled


def _normal(thumb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a picture as a vector of mean 0 and length 1; a plain one is 0."""
    flat = thumb.reshape(-1) - thumb.mean()
    length = float(np.linalg.norm(flat))
    normal: NDArray[np.float32] = flat / np.float32(length) if length > 0 else flat
    return normal


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(_normal(a) @ _normal(b))
