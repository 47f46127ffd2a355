"""suite=streams: snapshots to subscribers over real sockets, the commit included.

A feed writes snapshots at the rate of a game; each is encoded, made durable (a row in SQLite with a
write-ahead log and full synchronisation, as a journal does) and published. The subscribers are
processes of their own on the same machine and take their part of it; every latency is from a
snapshot's own time to its arrival at a subscriber. Four tables:

- the fan-out by number of subscribers and layout of the message;
- what the layouts cost to encode and to decode;
- good subscribers alone, and beside one that never reads and one that reads a byte a second;
- a crowd three times as large as the server takes: what the admitted get, how fast the others are
  refused, and how soon there is room when the crowd has gone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.config import BenchConfig, SuiteConfig, at_least, within
from bench.report import Report
from bench.streams import layouts
from bench.streams.feed import JOINTS, Spent, make_frames
from bench.streams.stage import PEOPLE, Stage, be_quiet, staged
from edge_node.service import ServiceLimits
from tipoff.errors import InternalError, InvalidInputError

WARM_S = 3.0
"""From a subscriber's start until its latencies count."""
END_WITHIN_S = 60.0
MAX_P99_MS = 15.0
"""Target of the fan-out, snapshot to client."""
MAX_CORE = 1.0 / 3.0
"""Target of the fan-out: what it may take of a core."""
GOOD, CROWD = 30, 32
"""Good subscribers beside bad ones, and those that an overloaded server takes."""
TIMED_MESSAGES = 300
BAD = ("stall", "trickle")
STALLED = 16
FREED_WITHIN_S = 5.0
MAX_STALLED_MB = 8.0


@dataclass
class Config(SuiteConfig):
    """Options of suite=streams."""

    name: str = "streams"
    subscribers: list[int] = field(default_factory=lambda: [1, 10, 100])
    """How many follow at once; each number is measured with each layout."""
    layouts: list[str] = field(default_factory=lambda: list(layouts.LAYOUTS))
    """packed, nested, or both."""
    seconds: float = 20.0
    """How long each measurement takes."""
    rate_hz: float = 60.0
    """Snapshots a second."""
    misuse: bool = True
    """Whether stalled subscribers and a crowd are measured too."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for layout in self.layouts:
            if layout not in layouts.LAYOUTS:
                raise InvalidInputError(
                    f"suite.layouts names {layout!r}; give some of {', '.join(layouts.LAYOUTS)}",
                    field="layouts",
                )
        for count in self.subscribers:
            within("suite.subscribers", count, 1, 200)
        at_least("suite.seconds", self.seconds, 1.0)
        within("suite.rate_hz", self.rate_hz, 1.0, 240.0)


@dataclass(slots=True)
class Measured:
    """What a measurement found."""

    latencies_ms: np.ndarray
    """From a snapshot's time to its arrival, all subscribers together."""
    snapshots: list[int]
    """How many each subscriber counted."""
    holes: int
    """Sequences that were missing inside a stream."""
    fan_out_core: float
    """What serving took of a core, without the feed."""
    client_core: float
    """What the good subscribers took of a core."""
    spent: Spent
    """What the feed took."""
    errors: list[str]
    """How streams ended that did not last."""

    def percentile(self, percent: float) -> float:
        """Give a percentile of the latencies in ms."""
        return round(float(np.percentile(self.latencies_ms, percent)), 2)


def start(module: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a process of subscribers."""
    command = [sys.executable, "-m", f"bench.streams.{module}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def result(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """Wait for what a process found."""
    try:
        out, _ = process.communicate(timeout=seconds + WARM_S + END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise InternalError("a process of subscribers did not end") from None
    if process.returncode:
        raise InternalError(f"a process of subscribers failed ({process.returncode})")
    document: dict[str, Any] = json.loads(out)
    return document


def follow(stage: Stage, count: int, seconds: float) -> Measured:
    """Have ``count`` subscribers follow a stage for so long."""
    process = start("subscribers", stage.address, count, seconds, WARM_S)
    time.sleep(WARM_S)
    began_s, cpu_s, feed_s = time.monotonic(), time.process_time(), _feed_cpu_s(stage)
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    used_s = time.process_time() - cpu_s - (_feed_cpu_s(stage) - feed_s)
    found = result(process, seconds)
    if not found["latencies_ms"]:
        raise InternalError(f"subscribers got nothing: {found['errors']}")
    return Measured(
        np.array(found["latencies_ms"]),
        found["snapshots"],
        found["holes"],
        used_s / took_s,
        found["cpu_s"] / (seconds + WARM_S),
        stage.feed.spent,
        found["errors"],
    )


def _feed_cpu_s(stage: Stage) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(stage.feed.thread_id))


def run(config: BenchConfig) -> Report:
    """Measure all four."""
    suite = config.suite
    assert isinstance(suite, Config)
    report = Report("streams", notes=list(NOTES))
    be_quiet()
    _fan_out(report, suite, config.seed)
    _layouts(report, config.seed)
    if suite.misuse:
        _beside_bad_ones(report, suite, config.seed)
        _memory(report)
        _crowd(report, suite, config.seed)
    return report


def _fan_out(report: Report, suite: Config, seed: int) -> None:
    columns = ("layout", "subscribers", "p50_ms", "p99_ms", "max_ms", "fan_out_core_%")
    more = ("subscribers_core_%", "encode_ms", "commit_p50_ms", "commit_p99_ms", "holes", "ended")
    title = f"Snapshot to client, {PEOPLE} people x {len(JOINTS)} joints, {suite.rate_hz:g} Hz"
    table = report.table(title, (*columns, *more))
    for layout in suite.layouts:
        for count in suite.subscribers:
            with (
                report.working(f"{count} subscribers, {layout}"),
                staged(layout, suite.rate_hz, seed) as stage,
            ):
                found = follow(stage, count, suite.seconds)
            commits = np.array(found.spent.commits_ms)
            table.add(
                {
                    "layout": layout,
                    "subscribers": count,
                    "p50_ms": found.percentile(50),
                    "p99_ms": found.percentile(99),
                    "max_ms": found.percentile(100),
                    "fan_out_core_%": round(100 * found.fan_out_core, 1),
                    "subscribers_core_%": round(100 * found.client_core, 1),
                    "encode_ms": round(float(np.median(found.spent.encodes_ms)), 3),
                    "commit_p50_ms": round(float(np.percentile(commits, 50)), 2),
                    "commit_p99_ms": round(float(np.percentile(commits, 99)), 2),
                    "holes": found.holes,
                    "ended": len(found.errors),
                }
            )
            report.target(f"holes, {count} subscribers, {layout}", found.holes, most=0)
            if layout == "packed" and count == max(suite.subscribers):
                report.target(f"p99 ms, {count} subscribers", found.percentile(99), most=MAX_P99_MS)
                report.target(
                    f"core, {count} subscribers", round(found.fan_out_core, 3), most=MAX_CORE
                )


def _layouts(report: Report, seed: int) -> None:
    columns = ("layout", "bytes", "encode_us", "decode_us")
    table = report.table("One message, without a network", columns)
    frames = make_frames(PEOPLE, seed)
    ways = (
        ("packed, from memory", layouts.packed, layouts.decode_packed),
        ("packed, by protobuf", layouts.packed_by_protobuf, layouts.decode_packed),
        ("nested", layouts.nested, layouts.decode_nested),
    )
    for name, encode, decode in ways:
        messages = [encode(frame, 1, 2) for frame in frames]
        encode_us = _median_us(lambda n, e=encode: e(frames[n % len(frames)], n + 1, 2))
        decode_us = _median_us(lambda n, d=decode, m=messages: d(m[n % len(m)], len(JOINTS)))
        size = round(float(np.mean([len(message) for message in messages])))
        table.add({"layout": name, "bytes": size, "encode_us": encode_us, "decode_us": decode_us})


def _median_us(call: Any) -> float:
    spent = []
    for number in range(TIMED_MESSAGES):
        began_s = time.perf_counter()
        call(number)
        spent.append(time.perf_counter() - began_s)
    return round(float(np.median(spent)) * 1e6, 1)


def _beside_bad_ones(report: Report, suite: Config, seed: int) -> None:
    columns = ("beside", "subscribers", "p50_ms", "p99_ms", "max_ms", "holes", "ended")
    table = report.table("Good subscribers alone and beside bad ones", columns)
    p99_ms = []
    for beside in ("nobody", "one that never reads and one that reads 1 B/s"):
        with (
            report.working(f"{GOOD} subscribers beside {beside}"),
            staged("packed", suite.rate_hz, seed) as stage,
        ):
            bad = []
            if beside != "nobody":
                whole_s = WARM_S + suite.seconds
                bad = [start("misuse", how, stage.address, 1, whole_s) for how in BAD]
            found = follow(stage, GOOD, suite.seconds)
            for process in bad:
                result(process, suite.seconds)
        p99_ms.append(found.percentile(99))
        table.add(
            {
                "beside": beside,
                "subscribers": GOOD,
                "p50_ms": found.percentile(50),
                "p99_ms": found.percentile(99),
                "max_ms": found.percentile(100),
                "holes": found.holes,
                "ended": len(found.errors),
            }
        )
        report.target(f"good streams that ended beside {beside}", len(found.errors), most=0)
    most_ms = max(1.1 * p99_ms[0], p99_ms[0] + 5.0)
    report.target("p99 ms beside bad ones", p99_ms[1], most=round(most_ms, 2))


def _memory(report: Report) -> None:
    """Find out what a subscriber that never reads costs, in a process that did nothing before."""
    columns = ("stalled", "MB_each_at_most", "MB_each_afterwards", "let_go_after_s")
    table = report.table("Subscribers that never read", columns)
    with report.working(f"{STALLED} subscribers that never read"):
        found = result(start("stalled", STALLED), 0.0)
    row = {name: round(found[name], 2) for name in columns}
    table.add(row)
    report.target("s until stalled ones are let go", found["let_go_after_s"], most=FREED_WITHIN_S)
    report.target("MB a stalled subscriber", found["MB_each_at_most"], most=MAX_STALLED_MB)


def _crowd(report: Report, suite: Config, seed: int) -> None:
    columns = (
        "admitted",
        "crowd",
        "goodput_%",
        "p99_ms",
        "refusals",
        "refused_p50_ms",
        "refused_p99_ms",
        "room_after_s",
    )
    table = report.table("A crowd three times as large as the server takes", columns)
    with (
        report.working(f"a crowd of {3 * CROWD} where {CROWD} are taken"),
        staged("packed", suite.rate_hz, seed, ServiceLimits(max_subscribers=CROWD)) as stage,
    ):
        follower = start("subscribers", stage.address, CROWD, suite.seconds, WARM_S)
        time.sleep(WARM_S / 2)
        process = start("misuse", "storm", stage.address, 2 * CROWD, WARM_S / 2 + suite.seconds)
        found = result(follower, suite.seconds)
        refusals_ms = np.array(result(process, suite.seconds)["refusals_ms"])
        room_s = _room_after(stage)
    due = CROWD * suite.seconds * suite.rate_hz
    goodput = sum(found["snapshots"]) / due
    p99_ms = float(np.percentile(refusals_ms, 99)) if len(refusals_ms) else float("nan")
    table.add(
        {
            "admitted": CROWD,
            "crowd": 3 * CROWD,
            "goodput_%": round(100 * goodput, 1),
            "p99_ms": round(float(np.percentile(found["latencies_ms"], 99)), 2),
            "refusals": len(refusals_ms),
            "refused_p50_ms": round(float(np.percentile(refusals_ms, 50)), 2),
            "refused_p99_ms": round(p99_ms, 2),
            "room_after_s": round(room_s, 2),
        }
    )
    report.target("goodput in a crowd", goodput, least=0.8)
    report.target("p99 ms of a refusal", p99_ms, most=50.0)
    report.target("s until there is room again", room_s, most=5.0)


def _room_after(stage: Stage) -> float:
    """Say how long it takes until a new subscriber is served."""
    from tipoff.client import Client
    from tipoff.follow import ClientOptions

    began_s = time.monotonic()
    options = ClientOptions(connect_timeout_s=20.0, backoff_initial_s=0.02, backoff_max_s=0.1)
    with Client(stage.address, options) as client, client.stream_tracks() as stream:
        next(stream)
    return time.monotonic() - began_s


NOTES: Sequence[str] = (
    "Latency: from a snapshot's time, before it is encoded, over the commit to its arrival at a "
    "subscriber in another process; all subscribers together, so the last of a round counts too.",
    "Fan-out: processor time of the serving process without the thread that encodes and commits.",
    "Targets: 100 subscribers at 60 Hz: p99 15 ms, a third of a core; beside bad ones 10 % or 5 ms "
    "more; refused within 50 ms; room within 5 s; 8 MB a stalled one, gone in 5 s.",
)
