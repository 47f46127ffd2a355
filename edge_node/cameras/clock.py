"""When a live frame was taken.

A camera that sends RTCP sender reports says what its own clock showed; where that clock agrees with
this machine's it is used as it is. Otherwise the time is made of when frames arrived: media times
run evenly, and arrival is later than they by the way, which has a shortest time and a jitter above
it. The least of *arrival - media time* over the last seconds is that shortest way, so

    capture time = media time + least over WINDOW_NS of (arrival - media time) - known latency,

where a shorter way is believed at once and a longer one no faster than SLEW, which follows a
camera's crystal (tens of ppm) and not the network. What remains is a constant: the shortest way
itself, exposure, encoding and transport, which a session file may name (``latency_ms``).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from edge_node.frames import CaptureClock

_S = 1_000_000_000
FELL_NS = 500_000_000
"""Media times fall by less where frames come in the order in which they are decoded."""
BUCKET_NS = _S
"""The least of the differences is kept for each such stretch of time."""
WINDOW_BUCKETS = 10
"""Stretches whose least counts."""
SLEW = 500e-6
"""Fastest growth of the offset, in seconds a second: more than any crystal is off."""
JUMP_NS = 200_000_000
"""An offset that is off by more is taken over at once: somebody set a clock."""
JITTER_FRAMES = 64
"""Frames that the jitter is measured over."""
EARLIEST_NS = -20_000_000
"""A frame cannot be here before it was taken: a sender's clock may be ahead by so much."""
LATEST_NS = 2 * _S
"""A sender's clock may say that frames take so long to arrive, at most."""
AGREE_NS = 5_000_000
"""Two frames that differ by less agree on the sender's clock."""


class Spread:
    """Standard deviation of the last differences."""

    def __init__(self, frames: int = JITTER_FRAMES) -> None:
        self._values: deque[int] = deque(maxlen=frames)

    def add(self, value_ns: int) -> None:
        """Take in a difference."""
        self._values.append(value_ns)

    @property
    def std_ns(self) -> int:
        """Standard deviation; 0 with fewer than three."""
        values = list(self._values)  # whoever asks is in another thread than whoever adds
        count = len(values)
        if count < 3:
            return 0
        mean = sum(values) / count
        return round(math.sqrt(sum((v - mean) ** 2 for v in values) / (count - 1)))


class ArrivalClock:
    """Makes capture times of arrival times. No clock in here.

    Args:
        latency_ns: Shortest way from exposure to arrival, where it is known.
    """

    def __init__(self, latency_ns: int = 0) -> None:
        self._latency_ns = latency_ns
        self._least: deque[tuple[int, int]] = deque(maxlen=WINDOW_BUCKETS)
        self._offset_ns: float | None = None
        self._media_ns = 0
        self._spread = Spread()
        self.frames = 0
        """Frames seen."""

    @property
    def offset_ns(self) -> int:
        """Arrival less media time on the shortest way, as followed so far."""
        return round(self._offset_ns or 0.0)

    @property
    def jitter_ns(self) -> int:
        """Standard deviation of the arrivals around an even beat."""
        return self._spread.std_ns

    def capture_time_ns(self, media_ns: int, arrived_ns: int) -> int:
        """Give a frame's capture time.

        Args:
            media_ns: Its media time, from any zero.
            arrived_ns: When its packet was here, ns UTC.
        """
        self.frames += 1
        difference = arrived_ns - media_ns
        if media_ns < self._media_ns - FELL_NS:
            self._least.clear()  # the media clock was set back: what was before is void
        target = self._target(difference, arrived_ns)
        before = self._offset_ns
        if before is None or target < before or target - before > JUMP_NS:
            self._offset_ns = float(target)
        else:
            most = SLEW * max(media_ns - self._media_ns, 0)
            self._offset_ns = before + min(target - before, most)
        self._media_ns = media_ns
        self._spread.add(difference - round(self._offset_ns))
        return media_ns + round(self._offset_ns) - self._latency_ns

    def _target(self, difference: int, arrived_ns: int) -> int:
        bucket = arrived_ns // BUCKET_NS
        if self._least and self._least[-1][0] == bucket:
            self._least[-1] = (bucket, min(self._least[-1][1], difference))
        else:
            if self._least and abs(self._least[-1][1] - difference) > 10 * _S:
                self._least.clear()  # a media clock that began anew, or a clock that was set
            self._least.append((bucket, difference))
        return min(least for _, least in self._least)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was taken."""

    capture_time_ns: int
    """Its capture time, ns UTC."""
    clock: CaptureClock
    """What that rests on."""


class StreamClock:
    """Stamps the frames of one connection: by the sender where one can, else by arrival.

    Args:
        latency_ns: Shortest way from exposure to arrival, where it is known; only arrival needs it.
        use_sender: Whether sender reports are believed at all.
    """

    def __init__(self, latency_ns: int = 0, *, use_sender: bool = True) -> None:
        self._arrival = ArrivalClock(latency_ns)
        self._use_sender = use_sender
        self._sender_ns: int | None = None
        self._newest_ns: int | None = None
        self._beat = EvenBeat()
        self.clock = CaptureClock.ARRIVAL
        """What the newest stamp rests on."""
        self.detail = ""
        """Why the sender's clock is not used though there is one, in words."""

    @property
    def jitter_ns(self) -> int:
        """Standard deviation around an even beat: of the sender's times, or of the arrivals."""
        if self.clock is CaptureClock.SENDER:
            return self._beat.jitter_ns
        return self._arrival.jitter_ns

    def stamp(self, media_ns: int, arrived_ns: int, sender_ns: int | None) -> Stamp:
        """Stamp a frame.

        Args:
            media_ns: Its media time, from any zero.
            arrived_ns: When its packet was here, ns UTC.
            sender_ns: What the sender's clock showed, ns UTC; None where it does not say.
        """
        by_arrival = self._arrival.capture_time_ns(media_ns, arrived_ns)
        offset_ns = None if sender_ns is None else self._confirmed(sender_ns - media_ns)
        if offset_ns is None or not self._believed(offset_ns):
            self.clock = CaptureClock.ARRIVAL
            return Stamp(by_arrival, self.clock)
        self.clock = CaptureClock.SENDER
        self._beat.add(media_ns + offset_ns)
        return Stamp(media_ns + offset_ns, self.clock)

    def _confirmed(self, offset_ns: int) -> int | None:
        """Give the sender's offset: one that two frames in a row agree on.

        When a report comes in the middle of a frame, libav gives that frame the time of the next.
        """
        newest, self._newest_ns = self._newest_ns, offset_ns
        if newest is not None and abs(offset_ns - newest) <= AGREE_NS:
            self._sender_ns = offset_ns
        return self._sender_ns

    def _believed(self, sender_offset_ns: int) -> bool:
        """Whether the sender's clock agrees with this machine's, by the shortest way alone."""
        if not self._use_sender:
            return False
        way_ns = self._arrival.offset_ns - sender_offset_ns
        if EARLIEST_NS <= way_ns <= LATEST_NS:
            self.detail = ""
            return True
        self.detail = (
            f"its clock is {_told(abs(way_ns))} {'behind' if way_ns > 0 else 'ahead of'} this "
            "machine's: set both by NTP or PTP; until then times are those of arrival"
        )
        return False


def _told(length_ns: int) -> str:
    return f"{length_ns / _S:.1f} s" if length_ns >= _S else f"{length_ns / 1e6:.0f} ms"


class EvenBeat:
    """How far times are off an even beat: a line through the last ones by their count."""

    def __init__(self, frames: int = JITTER_FRAMES) -> None:
        self._times: deque[int] = deque(maxlen=frames)

    def add(self, time_ns: int) -> None:
        """Take in a time; times rise."""
        self._times.append(time_ns)

    @property
    def interval_ns(self) -> int:
        """Median time between two; 0 with fewer than two."""
        times = list(self._times)
        gaps = sorted(b - a for a, b in pairwise(times))
        return gaps[len(gaps) // 2] if gaps else 0

    @property
    def jitter_ns(self) -> int:
        """Standard deviation around the line; 0 with fewer than four. A missing frame is none."""
        interval, times = self.interval_ns, list(self._times)
        if len(times) < 4 or interval <= 0:
            return 0
        numbers, values = [0.0], [0.0]
        for a, b in pairwise(times):
            numbers.append(numbers[-1] + max(round((b - a) / interval), 1))
            values.append(float(b - times[0]))
        return round(_off_line(numbers, values))


def _off_line(x: list[float], y: list[float]) -> float:
    """Give the standard deviation of ``y`` around its line over ``x``, by least squares."""
    count = len(x)
    mean_x, mean_y = sum(x) / count, sum(y) / count
    across = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / across
    off = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return math.sqrt(off / (count - 2))
