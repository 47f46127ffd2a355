"""The parts of the picture that `tipoff watch` draws in a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tipoff.client import TrackStream
    from tipoff.snapshot import Availability, CameraHealth, Degradation, Header, Snapshot
    from tipoff.viewing import Latency, TrackLine

_STATE_STYLES = {"live": "green", "ended": "dim", "waiting": "yellow"}
"""Of cameras; every other state says that something is wrong."""
_AVAILABILITY_STYLES = {"available": "bold green", "degraded": "bold yellow", "off": "bold red"}


def header_lines(header: Header) -> Text:
    """Say what is followed."""
    models = ", ".join(model.name for model in header.models) or "not named"
    rate = f"{header.nominal_rate_hz:g} Hz" if header.nominal_rate_hz else "rate not known"
    text = Text()
    text.append(f"session {header.session}", "bold")
    text.append(f"  epoch {header.epoch}  {rate}  {header.skeleton.name}  {header.build}\n")
    text.append(f"rig {header.rig_digest[:15]}  models {models}  {header.world_frame}", "dim")
    return text


def status_line(
    stream: TrackStream,
    snapshot: Snapshot | None,
    late: Latency | None,
    rate_hz: float,
    counts: tuple[int, int, int],
) -> Text:
    """Say how the stream does; ``counts``: snapshots that came, those that could not, restarts."""
    text = Text()
    if snapshot is not None and late is not None:
        text.append(f"sequence {snapshot.sequence}  ")
        text.append(f"{rate_hz:.1f} Hz  ", "bold")
        delay = f"{late.seconds * 1e3:.1f} ms" if late.seconds < 1 else f"{late.seconds:.1f} s"
        text.append(f"{delay} since {'capture' if late.since == 'capture' else 'it was sent'}  ")
        text.append(f"{counts[0]} received")
        text.append(f"  {counts[1]} missing", "yellow" if counts[1] else "dim")
    else:
        text.append("waiting for the first snapshot", "yellow")
    if counts[2]:
        text.append(f"  {counts[2]} restarts", "yellow")
    if stream.reconnects:
        text.append(f"  {stream.reconnects} reconnects", "yellow")
    if stream.outage is not None:
        text.append(f"\nresuming: {stream.outage}", "bold yellow")
    return text


def availability_lines(
    availability: Availability | None, degradations: Sequence[Degradation]
) -> list[Text]:
    """Say whether officials may rely on it, why not, and what the node does less well."""
    lines = []
    if availability is not None:
        text = Text("officials ")
        text.append(availability.state, _AVAILABILITY_STYLES.get(availability.state, "bold"))
        text.append(f"  {_values(availability)}", "dim")
        if availability.detail:
            text.append(f"  {availability.detail}")
        lines.append(text)
    lines += [Text(f"{one.kind.replace('_', ' ')}: {one.detail}", "yellow") for one in degradations]
    return lines


def _values(availability: Availability) -> str:
    """Name the values that decided."""
    said = []
    if availability.least_views is not None:
        said.append(f"views {availability.least_views}")
    if availability.std_p95_m is not None:
        said.append(f"± {availability.std_p95_m * 1e3:.0f} mm")
    if availability.snapshot_age_s is not None:
        said.append(f"{availability.snapshot_age_s * 1e3:.0f} ms old")
    return "  ".join(said)


def track_table(lines: Sequence[TrackLine]) -> Table:
    """Draw who is where."""
    table = Table(box=None, header_style="dim", title_justify="left", pad_edge=False)
    for column in ("track", "x m", "y m", "z m", "m/s", "confidence", "views", "joints", "± mm"):
        table.add_column(column, justify="right", min_width=6)
    for line in lines:
        table.add_row(
            str(line.track),
            *(_number(value, ".2f") for value in line.position_m),
            _number(line.speed_mps, ".1f"),
            _number(line.confidence, ".2f"),
            _number(line.views, ".1f"),
            str(line.joints),
            _number(line.std_mm, ".0f"),
        )
    if not lines:
        table.add_row("nobody")
    return table


def camera_table(cameras: Sequence[CameraHealth]) -> Table:
    """Draw how the cameras do."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("camera", "state", "frames", "dropped", ""):
        table.add_column(column, justify="right" if column in {"frames", "dropped"} else "left")
    for camera in cameras:
        state = Text(camera.state, _STATE_STYLES.get(camera.state, "bold red"))
        dropped = Text(str(camera.dropped_frames), "yellow" if camera.dropped_frames else "dim")
        table.add_row(camera.name, state, str(camera.frames), dropped, camera.detail)
    return table


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
