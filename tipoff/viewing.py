"""What `tipoff watch` shows of a stream: lines of JSON, or a picture of text in a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click
import numpy as np

from tipoff.snapshot import Snapshot

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray
    from rich.console import RenderableType

    from tipoff.client import TrackStream
    from tipoff.snapshot import Header, Heartbeat

RATE_OVER_S = 2.0
"""Time over which the rate of arrival is taken."""
SPEED_OVER_NS = 500_000_000
"""Time over which a speed is taken: shorter ones show the noise of a joint."""
DRAWS_PER_S = 8
"""How often a terminal is drawn anew."""
MAX_ROWS = 40
"""Most tracks in the terminal's table."""
LIVE_WITHIN_S = 3600.0
"""A snapshot whose time is this close to now is a live one, whose latency means something."""
NS = 1_000_000_000


class View(Protocol):
    """Shows a stream."""

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""

    def beat(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def follow(stream: TrackStream, view: View, count: int | None) -> None:
    """Show a stream to its end, or ``count`` snapshots of it."""
    shown = 0
    for event in stream.events():
        if not isinstance(event, Snapshot):
            view.beat(event)
            continue
        view.show(event)
        shown += 1
        if shown == count:
            stream.close()
            return


def choose_view(stream: TrackStream, *, as_json: bool, heartbeats: bool = False) -> View:
    """Choose lines where a program reads, and a picture where somebody watches."""
    if as_json or not sys.stdout.isatty():
        return Lines(stream, heartbeats=heartbeats)
    return Screen(stream)


def positions(snapshot: Snapshot) -> NDArray[np.float64]:
    """Return where each track is, (T, 3) in m: the median of its known joints, else NaN."""
    if not len(snapshot.ids):
        return np.empty((0, 3))
    known = np.isfinite(snapshot.joints_m).any(axis=(1, 2))
    places = np.full((len(snapshot.ids), 3), np.nan)
    places[known] = np.nanmedian(snapshot.joints_m[known], axis=1)
    return places


@dataclass(frozen=True, slots=True)
class TrackLine:
    """One track as it is shown."""

    track: int
    """Its identity."""
    position_m: tuple[float, ...]
    """Median of its known joints."""
    speed_mps: float
    """Over the last half second; NaN for a new one."""
    confidence: float
    """Mean over its joints."""
    views: float
    """Mean number of cameras behind a joint that any sees."""
    joints: int
    """Known joints."""
    std_mm: float
    """Median over its joints of the largest standard deviation; NaN where none is known."""


class Motion:
    """Remembers where tracks were, to tell how fast they are."""

    def __init__(self) -> None:
        """Know nobody."""
        self._places: dict[int, deque[tuple[int, NDArray[np.float64]]]] = {}

    def describe(self, snapshot: Snapshot) -> list[TrackLine]:
        """Describe the tracks of the next snapshot."""
        places = positions(snapshot)
        lines = [
            self._describe(snapshot, index, places[index]) for index in range(len(snapshot.ids))
        ]
        # Whoever has gone is forgotten, so that this does not grow with the game.
        present = {line.track for line in lines}
        self._places = {track: past for track, past in self._places.items() if track in present}
        return lines

    def _describe(self, snapshot: Snapshot, index: int, place: NDArray[np.float64]) -> TrackLine:
        track = int(snapshot.ids[index])
        known = np.isfinite(snapshot.joints_m[index]).all(axis=-1)
        seen = snapshot.views[index][snapshot.views[index] > 0]
        return TrackLine(
            track=track,
            position_m=tuple(float(value) for value in place),
            speed_mps=self._speed(track, snapshot.time_ns, place),
            confidence=float(np.mean(snapshot.confidence[index])),
            views=float(np.mean(seen)) if len(seen) else 0.0,
            joints=int(np.count_nonzero(known)),
            std_mm=_largest_std_mm(snapshot.covariance_m2[index][known]),
        )

    def _speed(self, track: int, time_ns: int, place: NDArray[np.float64]) -> float:
        past = self._places.setdefault(track, deque(maxlen=256))
        while len(past) > 1 and time_ns - past[1][0] >= SPEED_OVER_NS:
            past.popleft()
        speed = math.nan
        if past and time_ns > past[0][0]:
            then_ns, there = past[0]
            # Along the floor: a jump is no run.
            speed = float(np.linalg.norm((place - there)[:2])) * NS / (time_ns - then_ns)
        past.append((time_ns, place))
        return speed


def _largest_std_mm(covariances_m2: NDArray[np.float64]) -> float:
    whole = covariances_m2[np.isfinite(covariances_m2).all(axis=(-1, -2))]
    if not len(whole):
        return math.nan
    largest = np.linalg.eigvalsh(whole)[:, -1]
    return float(np.median(np.sqrt(np.maximum(largest, 0.0)))) * 1e3


@dataclass(frozen=True, slots=True)
class Latency:
    """How far behind a snapshot came."""

    seconds: float
    """The delay."""
    since: str
    """``capture``: since the time of its frames; ``sent``: since the server first sent it."""


def latency(header: Header, snapshot: Snapshot, now_ns: int) -> Latency:
    """Return a snapshot's delay: since capture where its clock is live, else since sending."""
    since_capture_s = (now_ns - snapshot.time_ns) / NS
    if header.time_base == "utc" and abs(since_capture_s) < LIVE_WITHIN_S:
        return Latency(since_capture_s, "capture")
    return Latency((now_ns - snapshot.sent_ns) / NS, "sent")


def plain(value: Any) -> Any:
    """Turn values into what JSON has a word for: NaN becomes null, bytes become hex."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value):
        return _members(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Lines:
    """A line of JSON for the header, one for each snapshot, one for the end.

    One for each heartbeat as well where they are asked for.
    """

    def __init__(self, stream: TrackStream, *, heartbeats: bool = False) -> None:
        """Show ``stream``."""
        self._stream = stream
        self._heartbeats = heartbeats

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write a heartbeat where they are asked for."""
        if self._heartbeats:
            self._write({"heartbeat": _members(heartbeat)})

    def show(self, snapshot: Snapshot) -> None:
        """Write a snapshot."""
        late = latency(self._stream.header, snapshot, time.time_ns())
        self._write(
            {
                "epoch": snapshot.epoch,
                "sequence": snapshot.sequence,
                "time_ns": snapshot.time_ns,
                "sent_ns": snapshot.sent_ns,
                "latency_s": plain(late.seconds),
                "latency_since": late.since,
                "skipped": plain(snapshot.skipped),
                "gap_before": plain(snapshot.gap_before),
                "availability": plain(snapshot.availability),
                "degradations": plain(snapshot.degradations),
                "tracks": _tracks(snapshot),
                "cameras": plain(snapshot.cameras),
            }
        )

    def _write(self, value: dict[str, Any]) -> None:
        click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
        # Whoever reads a pipe wants it now, not when four kilobytes have come together.
        sys.stdout.flush()

    def __enter__(self) -> Self:
        self._write({"header": _members(self._stream.header)})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end = self._stream.end
        if end is not None:
            self._write({"end": _members(end)})


def _tracks(snapshot: Snapshot) -> list[dict[str, Any]]:
    places = positions(snapshot)
    return [
        {
            "id": int(snapshot.ids[index]),
            "position_m": plain(places[index]),
            "joints_m": plain(snapshot.joints_m[index]),
            "confidence": plain(snapshot.confidence[index]),
            "views": plain(snapshot.views[index]),
        }
        for index in range(len(snapshot.ids))
    ]


def _members(value: Any) -> dict[str, Any]:
    return {name: plain(getattr(value, name)) for name in value.__slots__}


class Screen:
    """A picture of text that stays in place, drawn a few times a second."""

    def __init__(self, stream: TrackStream) -> None:
        """Show ``stream``."""
        from rich.live import Live

        self._stream = stream
        self._motion = Motion()
        self._arrivals: deque[float] = deque(maxlen=4096)
        self._lines: list[TrackLine] = []
        self._snapshot: Snapshot | None = None
        self._late: Latency | None = None
        self._count = self._missing = self._restarts = 0
        self._live = Live(get_renderable=self._draw, refresh_per_second=DRAWS_PER_S)

    def show(self, snapshot: Snapshot) -> None:
        """Take a snapshot; it is drawn when the next drawing is due."""
        now_s = time.monotonic()
        self._arrivals.append(now_s)
        while now_s - self._arrivals[0] > RATE_OVER_S:
            self._arrivals.popleft()
        self._late = latency(self._stream.header, snapshot, time.time_ns())
        self._lines = self._motion.describe(snapshot)
        self._snapshot = snapshot
        self._count += 1
        for gap in snapshot.gap_before:
            self._missing += gap.missing or 0
            self._restarts += gap.reason == "restarted"

    def beat(self, heartbeat: Heartbeat) -> None:
        """Nothing: the stream knows it when it is drawn."""

    def _draw(self) -> RenderableType:
        from rich.console import Group

        from tipoff.screen import (
            availability_lines,
            camera_table,
            header_lines,
            status_line,
            track_table,
        )

        parts: list[RenderableType] = [header_lines(self._stream.header), self._status(status_line)]
        said, beat = self._stream.availability, self._stream.heartbeat
        worse = beat.degradations if beat else ()
        if self._snapshot is not None and (beat is None or self._snapshot.sent_ns > beat.sent_ns):
            worse = self._snapshot.degradations
        parts += availability_lines(said, worse)
        if self._snapshot is not None:
            parts += [track_table(self._lines[:MAX_ROWS]), camera_table(self._snapshot.cameras)]
        return Group(*parts)

    def _status(self, line: Any) -> RenderableType:
        spent_s = self._arrivals[-1] - self._arrivals[0] if len(self._arrivals) > 1 else 0.0
        rate_hz = (len(self._arrivals) - 1) / spent_s if spent_s > 0 else 0.0
        drawn: RenderableType = line(
            self._stream,
            self._snapshot,
            self._late,
            rate_hz,
            (self._count, self._missing, self._restarts),
        )
        return drawn

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)
        end = self._stream.end
        if end is not None:
            click.echo(f"the session is over ({end.reason}): {end.detail}", err=True)
