"""suite=capture: from a camera's picture to the tracker's input, over real RTSP, and its parts.

Cameras of GStreamer's RTSP server write into each picture when it was made, so every frame tells
how long it took:

- way: made, encoded, sent, received and put together, up to the whole packet; libav knows that a
  picture is complete when the next one begins, so this holds one interval between frames;
- decode: packet to picture, with the glance at it;
- slot: until the loop took it;
- round: until the frame-set that it belongs to was whole, which is when the tracker may have it.

The cameras' clock is this machine's, so the capture times made of their sender reports are held
against the truth as well. Cameras and node share the machine: upper bounds.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from edge_node.frames import CameraFrame, CaptureClock
from tipoff.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from accel import Rig
    from edge_node.cameras.group import Cameras
    from tests.support.cameras import CamerasSpec

PARTS = ("way", "decode", "slot", "round")
MAX_BEYOND_MS = 30.0
"""Target: p99 of capture to the tracker's input, less the interval that libav waits."""
MAX_CLOCK_MS = 2.0
"""Target: 99 % of the capture times are this close to the truth."""
READY_WITHIN_S = 30.0
HOLD_NS = 25_000_000


@dataclass
class Config(SuiteConfig):
    """Options of suite=capture."""

    name: str = "capture"
    cases: list[str] = field(default_factory=lambda: ["4x640x360@15", "1x1280x720@60"])
    """CAMERASxWIDTHxHEIGHT@RATE; each is a row."""
    seconds: float = 20.0
    """How long each is measured."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        at_least("the number of suite.cases", len(self.cases), 1)
        within("suite.seconds", self.seconds, 1.0, 3600.0)
        for case in self.cases:
            read_case(case)


def read_case(text: str) -> CamerasSpec:
    """Read CAMERASxWIDTHxHEIGHT@RATE."""
    from tests.support.cameras import CamerasSpec

    try:
        size, rate = text.split("@")
        cameras, width, height = (int(part) for part in size.split("x"))
        spec = CamerasSpec(cameras, (width, height), int(rate), kbit=width * height // 115)
    except ValueError:
        raise InvalidInputError(
            f"suite.cases holds {text!r}; give CAMERASxWIDTHxHEIGHT@RATE, such as 4x640x360@15",
            field="cases",
        ) from None
    within("cameras of suite.cases", spec.cameras, 1, 16)
    within("rate of suite.cases", spec.rate, 1, 120)
    within("width of suite.cases", width, 512, 3840)  # the time is written across 512 px
    return spec


@dataclass(slots=True)
class Times:
    """What every frame took, in ms."""

    parts: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})
    total: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)


def run(config: BenchConfig) -> Report:
    """Run every case."""
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("capture", notes=list(NOTES))
    whole = report.table(
        "capture to the tracker's input, ms",
        ("case", "frames", "overtaken", "p50", "p99", *(f"{p}_p50" for p in PARTS),
         *(f"{p}_p99" for p in PARTS)),
    )  # fmt: skip
    clocks = report.table(
        "capture times by sender reports, against the truth, ms",
        ("case", "median", "p99", "frames"),
    )
    for case in suite.cases:
        spec = read_case(case)
        with report.working(f"{case} for {suite.seconds:g} s"):
            times, overtaken = measure(spec, suite.seconds)
        row: dict[str, object] = {
            "case": case,
            "frames": len(times.total),
            "overtaken": overtaken,
            "p50": percentile(times.total, 50),
            "p99": percentile(times.total, 99),
        }
        row |= {f"{part}_p50": percentile(times.parts[part], 50) for part in PARTS}
        row |= {f"{part}_p99": percentile(times.parts[part], 99) for part in PARTS}
        whole.add(row)
        off = [abs(value) for value in times.clock]
        clocks.add(
            {
                "case": case,
                "median": percentile(times.clock, 50),
                "p99": percentile(off, 99),
                "frames": len(off),
            }
        )
        beyond = percentile(times.total, 99) - 1e3 / spec.rate
        report.target(f"p99 of {case} beyond its interval, ms", beyond, most=MAX_BEYOND_MS)
        report.target(f"p99 of {case}'s capture times, ms", percentile(off, 99), most=MAX_CLOCK_MS)
    return report


def percentile(values: list[float], share: float) -> float:
    """Give a percentile; NaN where there is nothing."""
    return round(float(np.percentile(values, share)), 2) if values else float("nan")


def rig_of(spec: CamerasSpec) -> Rig:
    """Give a rig of the case's cameras; where they stand does not matter here."""
    from accel import Rig

    count, (width, height) = spec.cameras, spec.size
    K = np.tile(
        np.array([[500.0, 0, width / 2], [0, 500.0, height / 2], [0, 0, 1.0]]), (count, 1, 1)
    )
    t = np.zeros((count, 3))
    t[:, 0] = np.arange(count)
    size = np.tile([float(width), float(height)], (count, 1))
    names = [f"cam{number}" for number in range(count)]
    return Rig(names, K, np.zeros((count, 5)), np.tile(np.eye(3), (count, 1, 1)), t, size)


def measure(spec: CamerasSpec, seconds: float) -> tuple[Times, int]:
    """Run cameras and a loop that takes their frames, and read what each took."""
    from edge_node.cameras.group import Cameras
    from tests.support.cameras import rtsp_cameras

    ready = threading.Event()
    with rtsp_cameras(spec) as rtsp, Cameras(rig_of(spec), None, ready.set) as cameras:
        for number in range(spec.cameras):
            cameras.put(f"cam{number}", rtsp.url(number))
        settle(cameras, ready)
        before = cameras.overtaken
        times = take(cameras, ready, seconds)
        return times, cameras.overtaken - before


def settle(cameras: Cameras, ready: threading.Event) -> None:
    """Take frames until all cameras give them by their own clocks."""
    end_s = time.monotonic() + READY_WITHIN_S
    while {health.clock for health in cameras.health()} != {CaptureClock.SENDER}:
        if time.monotonic() > end_s:
            raise UnavailableError(
                "the RTSP cameras did not begin: see whether Debian's packages in .ci/run are there"
            )
        ready.wait(0.05)
        ready.clear()
        cameras.take()


def take(cameras: Cameras, ready: threading.Event, seconds: float) -> Times:
    """Take frames into rounds, as the loop does, for so long."""
    from edge_node.live.rounds import LiveRounds

    rounds, times = LiveRounds(), Times()
    taken_ns: dict[int, int] = {}
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        wait_ns = rounds.wait_ns(time.monotonic_ns())
        ready.wait(HOLD_NS / 1e9 if wait_ns is None else wait_ns / 1e9)
        ready.clear()
        ended = []
        for frame in cameras.take():
            taken_ns[id(frame)] = time.monotonic_ns()
            ended.append(rounds.add(frame))
        ended.append(rounds.due(time.monotonic_ns()))
        now_ns = time.monotonic_ns()
        for frames in ended:
            for frame in frames or ():
                assert isinstance(frame, CameraFrame)
                note(times, frame, taken_ns.pop(id(frame)), now_ns)
    return times


def note(times: Times, frame: CameraFrame, taken_ns: int, now_ns: int) -> None:
    """Read off a picture when it was made, and add what it took."""
    from edge_node.pictures import DecodedPicture
    from tests.support.cameras import made_ns

    assert isinstance(frame.image, DecodedPicture)
    made = made_ns(frame.image.luma(), frame.capture_time_ns)
    made_monotonic = made - time.time_ns() + time.monotonic_ns()
    moments = (made_monotonic, frame.packet_ns, frame.arrived_ns, taken_ns, now_ns)
    for part, begun, ended in zip(PARTS, moments, moments[1:], strict=False):
        times.parts[part].append((ended - begun) / 1e6)
    times.total.append((now_ns - made_monotonic) / 1e6)
    times.clock.append((frame.capture_time_ns - made) / 1e6)


NOTES = (
    "way holds one interval between frames: libav's RTP reader gives a picture out when the next "
    "one begins.",
    "made: before the picture was given to the encoder, read off the picture itself, to 0.1 ms.",
    "overtaken: frames that a newer one of their camera replaced in its slot.",
)
