"""Videos and recorded observations, played at their own pace as if they were live.

The game that they hold began when the schedule did, and whoever joins later finds the game where it
is by then.
"""

from __future__ import annotations

import contextlib
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from edge_node.cameras.errors import SourceError
from edge_node.cameras.observations import read_info, read_observations
from edge_node.cameras.source import SourceClock, Taken
from edge_node.pictures import DecodedPicture

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from edge_node.cameras.source import Surroundings

_S = 1_000_000_000
UNDECODABLE = "undecodable"
"""The decoder could make nothing of it."""
MAX_BROKEN_PACKETS = 300
"""Packets in a row that cannot be decoded before a file counts as broken."""
BEHIND_NS = _S
"""A player that is behind by more leaves frames out until it is where the game is,"""
IN_STEP_NS = 50_000_000
"""but for so much: what it gave at once would be taken for more than inference can follow."""
CATCH_UP = 2
"""How many times as fast a recording's player goes that is behind, for the same reason."""
BEHIND = "player_behind"
"""The player could not keep the pace."""
TICK = Fraction(1, av.time_base)
"""A tick of a stream that does not say how long its ticks are."""


class _Step:
    """Which frames a player gives, and when: it joins where the game is, and keeps up with it.

    Args:
        around: What the player works with.
        slack_ns: How far behind its first frame may be.
    """

    def __init__(self, around: Surroundings, slack_ns: int) -> None:
        self._schedule, self._tally = around.schedule, around.tally
        self._joined = False
        self._slack_ns = slack_ns
        self._gave_ns: tuple[int, int] | None = None
        """Place of the last frame, and where the game was when it was given; None behind a gap."""

    def keeps(self, place_ns: int) -> bool:
        """Say whether the frame of a place in the game is in time, and count one that is not.

        Before the first one that is in time it is no loss: the game had begun without this camera.
        """
        if self._schedule.position_ns() - place_ns > self._slack_ns:
            self._slack_ns, self._gave_ns = IN_STEP_NS, None
            if self._joined:
                self._tally.add(BEHIND)
            return False
        self._joined, self._slack_ns = True, BEHIND_NS
        return True

    def wait_for(self, place_ns: int, stop: threading.Event) -> None:
        """Wait until a frame is due: when the game is there, or catching up gets there."""
        due_ns = place_ns
        if self._gave_ns is not None:
            before_ns, then_ns = self._gave_ns
            due_ns = max(place_ns, then_ns + (place_ns - before_ns) // CATCH_UP)
        self._schedule.wait_for(due_ns, stop)
        self._gave_ns = place_ns, max(self._schedule.position_ns(), due_ns)

    def begins_ns(self) -> int:
        """Give the place in the game from which on frames are in time by now."""
        return self._schedule.position_ns() - self._slack_ns


class VideoFileSource:
    """A video file, played at its own pace.

    Args:
        path: The file.
        around: What it works with; of the options, ``loop``.
    """

    def __init__(self, path: Path, around: Surroundings) -> None:
        self._path, self._schedule, self._tally = path, around.schedule, around.tally
        self._options, self._tap, self._around = around.options, around.tap, around
        self.clock = SourceClock()

    def frames(self, stop: threading.Event) -> Iterator[Taken]:
        """Play, from where the game is by now."""
        begin_ns, length_ns = 0, self._length_ns() if self._options.loop else 0
        step = _Step(self._around, IN_STEP_NS)
        while not stop.is_set():
            if length_ns:
                begin_ns = _loop_start(self._schedule.position_ns(), begin_ns, length_ns)
            gave = False
            for picture, place_ns in self._decoded(begin_ns, stop):
                if not step.keeps(begin_ns + place_ns):
                    continue  # It had to be decoded for the sake of those after it.
                gave = True
                step.wait_for(begin_ns + place_ns, stop)
                if stop.is_set():
                    return
                here = time.monotonic_ns()
                yield Taken(picture, self._schedule.utc_ns(begin_ns + place_ns), here)
            if not length_ns:
                return
            begin_ns += length_ns
            if not gave:
                # Nothing in it could be decoded: no picture has kept the pace.
                self._schedule.wait_for(begin_ns, stop)

    def _length_ns(self) -> int:
        """Give how long a turn of the file is."""
        with _opened_file(self._path) as container:
            stream = container.streams.video[0]
            length_ns = 0
            if stream.duration and stream.time_base:
                length_ns = int(stream.duration * stream.time_base * _S)
            elif container.duration:
                length_ns = container.duration * _S // av.time_base
        if length_ns <= 0:
            raise SourceError(
                f"{self._path} does not say how long it is and cannot be played in a loop: remux "
                "it into an MP4",
                path=self._path,
            )
        return length_ns

    def _decoded(
        self, begin_ns: int, stop: threading.Event
    ) -> Iterator[tuple[DecodedPicture, int]]:
        """Give the file's pictures with their places in ns from its first one."""
        with _opened_file(self._path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # the cameras decode beside each other already
            self._seek(container, stream, begin_ns)
            start = stream.start_time
            for frame in self._frames(container, stream, begin_ns):
                # Here, so that a player that is behind and gives nothing looks as well.
                if stop.is_set():
                    return
                pts = frame.pts or 0
                start = pts if start is None else start
                base = frame.time_base or stream.time_base or TICK
                ticks = pts - start
                yield DecodedPicture(frame), ticks * base.numerator * _S // base.denominator

    def _frames(
        self, container: av.container.InputContainer, stream: av.VideoStream, begin_ns: int
    ) -> Iterator[av.VideoFrame]:
        broken = 0
        for packet in container.demux(stream):
            self._pass_on(stream, packet, begin_ns)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                broken += 1
                self._tally.add(UNDECODABLE)
                if broken >= MAX_BROKEN_PACKETS:
                    raise SourceError(f"{self._path} cannot be decoded any further") from None
                continue
            for frame in frames:
                if frame.pts is None or frame.is_corrupt:
                    self._tally.add(UNDECODABLE)
                else:
                    broken = 0
                    yield frame

    def _pass_on(self, stream: av.VideoStream, packet: av.Packet[Any], begin_ns: int) -> None:
        """Give an encoded packet to who keeps them, with the time of its frame in the game."""
        if self._tap is None or packet.pts is None or not packet.size:
            return
        base = packet.time_base or TICK
        ticks = packet.pts - (stream.start_time or 0)
        place_ns = ticks * base.numerator * _S // base.denominator
        self._tap.packet(stream, packet, self._schedule.utc_ns(begin_ns + place_ns))

    def _seek(
        self, container: av.container.InputContainer, stream: av.VideoStream, begin_ns: int
    ) -> None:
        """Begin at the key frame before where the game is, if that is not the beginning."""
        wanted_ns = self._schedule.position_ns() - begin_ns
        base = stream.time_base
        if wanted_ns <= BEHIND_NS or base is None:
            return
        offset = int(wanted_ns / _S / base) + (stream.start_time or 0)
        with contextlib.suppress(av.FFmpegError):
            container.seek(offset, stream=stream)


def _loop_start(position_ns: int, begin_ns: int, length_ns: int) -> int:
    """Give the beginning of the turn that the game is in, at least the one at ``begin_ns``."""
    return begin_ns + max(position_ns - begin_ns, 0) // length_ns * length_ns


def _opened_file(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SourceError(f"{path} cannot be read as a video: {reason}", path=path) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path} holds no video stream", path=path)
    return container


class ObservationsSource:
    """A recording of observations, played at its own pace.

    Args:
        path: The recording.
        around: What it works with; of the options, ``loop`` and ``shift``.
    """

    def __init__(self, path: Path, around: Surroundings) -> None:
        self._path, self._camera, self._schedule = path, around.camera, around.schedule
        self._options, self._around = around.options, around
        self.clock = SourceClock()

    def frames(self, stop: threading.Event) -> Iterator[Taken]:
        """Play, from where the game is by now."""
        # Who is there when the game begins plays all of it, however long opening takes.
        begins = self._schedule.position_ns() <= BEHIND_NS
        step = _Step(self._around, BEHIND_NS if begins else IN_STEP_NS)
        info = read_info(self._path)
        if self._camera not in info.cameras:
            raise SourceError(
                f"{self._path} has no camera {self._camera}; it has {', '.join(info.cameras)}",
                path=self._path,
            )
        # One frame more than from first to last, so that a loop does not stumble at its seam.
        beat_ns = (info.end_ns - info.start_ns) * len(info.cameras) // max(info.frames - 1, 1)
        length_ns = info.end_ns - info.start_ns + max(beat_ns, 1)
        begin_ns = 0
        while not stop.is_set():
            if self._options.loop:
                begin_ns = _loop_start(self._schedule.position_ns(), begin_ns, length_ns)
            yield from self._once(info.start_ns, begin_ns, step, stop)
            if not self._options.loop:
                return
            begin_ns += length_ns

    def _once(
        self, start_ns: int, begin_ns: int, step: _Step, stop: threading.Event
    ) -> Iterator[Taken]:
        behind_ns = step.begins_ns() - begin_ns
        from_ns = start_ns + behind_ns if behind_ns > 0 else None
        for _, time_ns, keypoints in read_observations(self._path, self._camera, from_ns):
            position_ns = begin_ns + time_ns - start_ns
            if stop.is_set():
                return
            if not step.keeps(position_ns):
                continue
            step.wait_for(position_ns, stop)
            if stop.is_set():
                return
            shifted = self._schedule.utc_ns(position_ns) if self._options.shift else time_ns
            yield Taken(keypoints, shifted, time.monotonic_ns())
