"""A play cut out of the ring: each camera as it was sent, and all of them with their skeletons.

    OUT/CAMERA.mp4     the camera's own encoding, from the key frame before the play
    OUT/skeletons.mp4  all cameras side by side, the tracks drawn where they reproject

Pictures and snapshots meet by capture time: with each snapshot stands every camera's newest picture
that is not younger than it. A file's times count from its first picture, whose capture time stands
in `Clip.begins_ns` and, of a camera's own file, in its comment.
"""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import structlog

from edge_node.cameras.segments import TICK, cameras_in, segments
from edge_node.frames import CameraFrame, TrackedFrame
from edge_node.overlay import OverlaySink
from edge_node.pictures import DecodedPicture
from tipoff.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from accel import Rig, Skeleton, Snapshot
    from edge_node.cameras.segments import Segment

_S = 1_000_000_000
MAX_CLIP_NS = 600 * _S
"""A longer play is refused."""
DRAWN = "skeletons.mp4"
RATE_HZ = 60.0
"""About how many pictures a second the drawn clip has."""
HELD_FILES = 512
"""Files of the ring that are held open, at most: half of what a process may open by default."""
OPEN_FILES = Path("/proc/self/fd")
"""Where the system names a process's open files, also those that were removed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Play:
    """What to cut."""

    from_ns: int
    """Its beginning, ns UTC."""
    to_ns: int
    """Its end, ns UTC."""
    epochs: range | None = None
    """Epochs that it was played in: a clock that was set back gives a time twice; None: any."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.to_ns - self.from_ns <= MAX_CLIP_NS:
            raise InvalidInputError(
                f"a play begins before it ends and takes at most {MAX_CLIP_NS // _S} s"
            )

    def may_hold(self, epoch: int) -> bool:
        """Say whether video of an epoch may be of it; 0: nobody knows which epoch that was."""
        return self.epochs is None or epoch == 0 or epoch in self.epochs


@dataclass(frozen=True, slots=True)
class Clip:
    """What was written."""

    cameras: Mapping[str, int]
    """Encoded pictures by camera; 0 where the ring holds nothing of it at that time."""
    drawn: int
    """Pictures of the drawn clip; 0: none was made, since there were no snapshots."""
    begins_ns: Mapping[str, int] = field(default_factory=dict)
    """By file, a camera's name or ``skeletons``: time of its first picture, ns UTC."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A file that was written: how many pictures, and when the first was taken."""

    count: int
    begin_ns: int = 0


def cut_play(
    ring: Path, play: Play, out: Path, rig: Rig, skeleton: Skeleton, snapshots: Iterable[Snapshot]
) -> Clip:
    """Cut a play out of a ring.

    Args:
        ring: The ring's folder.
        play: From when to when.
        out: Folder for the files; made where there is none.
        rig: The cameras.
        skeleton: The joints.
        snapshots: All tracks, in order of time.

    Raises:
        NotFoundError: the ring holds nothing of that time.
    """
    names = [name for name in cameras_in(ring) if name in rig.names]
    with _Files() as files:
        reached = {name: _reached(files, ring, name, play) for name in names}
        if not any(reached.values()):
            raise NotFoundError(f"{ring} holds no video of that time{_held(ring, names)}")
        out.mkdir(parents=True, exist_ok=True)
        cuts = {name: _cut_camera(reached[name], play, out / f"{name}.mp4") for name in names}
        views = {
            name: _View(reached.get(name, []), name, camera)
            for camera, name in enumerate(rig.names)
        }
        drawn = _draw(views, play, out / DRAWN, (rig, skeleton), snapshots)
    begins = {name: cut.begin_ns for name, cut in cuts.items() if cut.count}
    if drawn.count:
        begins["skeletons"] = drawn.begin_ns
    return Clip({name: cut.count for name, cut in cuts.items()}, drawn.count, begins)


def _held(ring: Path, names: list[str]) -> str:
    starts = [segment.start_ns for name in names for segment in segments(ring, name)]
    return f"; it begins at {min(starts)} ns UTC" if starts else ", nor any at all"


class _Files:
    """Holds files of the ring open, so that it may let them go while they are cut."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._count = 0

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def hold(self, segment: Segment) -> Segment | None:
        """Give a file under a name that stays; None where it went before."""
        try:
            file = self._held.enter_context(segment.path.open("rb"))
        except FileNotFoundError:
            log.warning("the ring let a file go before it was cut", file=str(segment.path))
            return None
        self._count += 1
        if self._count > HELD_FILES:
            file.close()  # It is read as long as it is there.
            return segment
        return replace(segment, path=OPEN_FILES / str(file.fileno()))


def _reached(files: _Files, ring: Path, name: str, play: Play) -> list[Segment]:
    """List the files that may hold a part of a play: from the last that began before it."""
    begun_before = [each for each in segments(ring, name) if each.start_ns < play.to_ns]
    own = [each for each in begun_before if play.may_hold(each.epoch)]
    held = sorted(own, key=lambda segment: segment.start_ns)
    earlier = [n for n, segment in enumerate(held) if segment.start_ns <= play.from_ns]
    begun = map(files.hold, held[earlier[-1] if earlier else 0 :])
    return [segment for segment in begun if segment and _end_ns(segment) >= play.from_ns]


def _end_ns(segment: Segment) -> int:
    """Give the time of a file's last packet."""
    return max((placed.shown_ns for placed in _packets(segment)), default=segment.start_ns)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A packet of a file, with its times in ns UTC."""

    packet: av.Packet[Any]
    shown_ns: int
    decoded_ns: int


def _packets(segment: Segment) -> Iterator[_Placed]:
    """Give a file's packets, each valid until the next; a torn end is its end."""
    try:
        with av.open(str(segment.path)) as container:
            first: Fraction | None = None
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None or packet.time_base is None or not packet.size:
                    continue
                shown = packet.pts * packet.time_base
                decoded = packet.dts * packet.time_base if packet.dts is not None else shown
                first = shown if first is None else first
                yield _Placed(
                    packet,
                    segment.start_ns + int((shown - first) * _S),
                    segment.start_ns + int((decoded - first) * _S),
                )
    except (av.FFmpegError, OSError, IndexError):
        return


def _pattern(reached: list[Segment]) -> av.container.InputContainer | None:
    """Open the first file that is there; None: there is none any more."""
    for segment in reached:
        with contextlib.suppress(av.FFmpegError, OSError):
            return av.open(str(segment.path))
    return None


def _cut_camera(reached: list[Segment], play: Play, path: Path) -> _Cut:
    """Copy a camera's encoded pictures of a play, from the key frame before it; none: no file."""
    begin_ns = _key_before(reached, play)
    first = _pattern(reached)
    if begin_ns is None or first is None:
        return _Cut(0)
    count, last, gap = 0, -1, 1
    with (
        first as pattern,
        av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        container.metadata["comment"] = f"first picture at {begin_ns} ns UTC"
        stream = container.add_stream_from_template(pattern.streams.video[0])
        stream.time_base = TICK
        for segment in reached:
            for placed in _packets(segment):
                if not begin_ns <= placed.shown_ns < play.to_ns:
                    continue
                ticks = max(_ticks(placed.decoded_ns - begin_ns), last + 1)
                gap, last = (ticks - last, ticks) if last >= 0 else (gap, ticks)
                copy: av.Packet[Any] = av.Packet(bytes(placed.packet))
                copy.stream, copy.time_base = stream, TICK
                # Players leave out a last picture that lasts no time.
                copy.is_keyframe, copy.duration = placed.packet.is_keyframe, gap
                copy.pts, copy.dts = max(_ticks(placed.shown_ns - begin_ns), last), last
                container.mux(copy)
                count += 1
    return _Cut(count, begin_ns)


def _ticks(time_ns: int) -> int:
    return int(Fraction(time_ns, _S) / TICK)


def _key_before(reached: list[Segment], play: Play) -> int | None:
    """Give the time of the last key frame before a play, or else of the first one in it."""
    found: int | None = None
    for segment in reached:
        for placed in _packets(segment):
            if placed.shown_ns >= play.to_ns:
                break
            if placed.packet.is_keyframe and (found is None or placed.shown_ns <= play.from_ns):
                found = placed.shown_ns
    return found


class _View:
    """One camera's pictures of a play, decoded as the play goes on."""

    def __init__(self, reached: list[Segment], name: str, camera: int) -> None:
        self._name, self._camera = name, camera
        self._frames = _decoded(reached)
        self._next = next(self._frames, None)
        self._count = 0

    def at(self, time_ns: int) -> CameraFrame | None:
        """Give the newest picture not younger than a time; None where it was given before."""
        newest: tuple[int, DecodedPicture] | None = None
        while self._next is not None and self._next[0] <= time_ns:
            newest, self._next = self._next, next(self._frames, None)
        if newest is None:
            return None
        self._count += 1
        return CameraFrame(self._camera, self._name, newest[0], self._count, newest[1])


def _decoded(reached: list[Segment]) -> Iterator[tuple[int, DecodedPicture]]:
    """Decode files, with the capture time of each picture; what is torn is left out."""
    for segment in reached:
        first: Fraction | None = None
        torn = contextlib.suppress(av.FFmpegError, OSError, IndexError)
        with torn, av.open(str(segment.path)) as container:
            for frame in container.decode(container.streams.video[0]):
                if frame.pts is None or frame.time_base is None:
                    continue
                at = frame.pts * frame.time_base
                first = at if first is None else first
                yield segment.start_ns + int((at - first) * _S), DecodedPicture(frame)


def _draw(
    views: Mapping[str, _View],
    play: Play,
    path: Path,
    drawing: tuple[Rig, Skeleton],
    snapshots: Iterable[Snapshot],
) -> _Cut:
    """Draw all cameras side by side with the skeletons of the snapshots."""
    sink: OverlaySink | None = None
    drawn, begin_ns, last_ns = 0, 0, -1
    try:
        for snapshot in snapshots:
            if not play.from_ns <= snapshot.time_ns <= play.to_ns or snapshot.time_ns <= last_ns:
                continue
            last_ns = snapshot.time_ns
            new = [frame for view in views.values() if (frame := view.at(snapshot.time_ns))]
            if not new:
                continue
            if sink is None:
                sink, begin_ns = OverlaySink(path, *drawing, RATE_HZ), snapshot.time_ns
            sink.write(TrackedFrame(snapshot.time_ns, snapshot, (), frames=tuple(new)))
            drawn += 1
    finally:
        if sink is not None:
            sink.close()
    return _Cut(drawn, begin_ns)
