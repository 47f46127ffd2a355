"""`tipoff node check`: what a session file says, and whether what it names is there."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel import Rig
from edge_node.cameras.address import parse_source
from edge_node.cameras.errors import SourceError
from edge_node.cameras.observations import read_info
from edge_node.capture import probe
from edge_node.session import fit_crops, models_used
from edge_node.sizes import size_factor
from tipoff.errors import TipoffError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_node.cameras.address import Address
    from edge_node.live.settings import CameraSettings, SessionSettings

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was understood, and what is wrong with it."""

    lines: tuple[tuple[str, str], ...]
    """What was understood: a heading and the rest of its line."""
    problems: tuple[str, ...]
    """Why the session cannot run as declared."""
    notes: tuple[str, ...]
    """What one may want to know."""
    settings: dict[str, Any] = field(default_factory=dict)
    """All settings, for a program; sources without credentials."""


def check(settings: SessionSettings) -> Checked:
    """Check a session's settings against what is on this machine. No camera is connected to."""
    problems: list[str] = []
    rig = _tried(problems, lambda: Rig.load(settings.rig, settings.scale))
    if rig is not None:
        problems += _rig_problems(settings, rig)
    for camera in settings.cameras:
        problems += _source_problems(camera, rig)
    if settings.sees:
        _tried(problems, lambda: models_used(fit_crops(settings.models.plan)))
    notes = [] if rig is None else _rig_notes(settings, rig)
    return Checked(tuple(_lines(settings, rig)), tuple(problems), tuple(notes), as_dict(settings))


def _tried(problems: list[str], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except TipoffError as error:
        problems.append(error.message)
        return None


def _rig_problems(settings: SessionSettings, rig: Rig) -> Iterator[str]:
    unknown = [camera.name for camera in settings.cameras if camera.name not in rig.names]
    if unknown:
        yield (
            f"[cameras] names {', '.join(unknown)}, which the rig does not have; it has "
            f"{', '.join(rig.names)}"
        )
    if len(settings.cameras) - len(unknown) < 2:
        yield "fewer than two cameras of the rig have a source: nobody can be placed in space"


def _rig_notes(settings: SessionSettings, rig: Rig) -> list[str]:
    given = {camera.name for camera in settings.cameras}
    bare = [name for name in rig.names if name not in given]
    if not bare:
        return []
    return [f"without a source: {', '.join(bare)}; they can be given one while the node runs"]


def _source_problems(camera: CameraSettings, rig: Rig | None) -> list[str]:
    problems: list[str] = []
    address = parse_source(camera.source, camera.folder)
    names = dict.fromkeys(_VARIABLE.findall(camera.source))
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        problems.append(
            f"{camera.name}: {', '.join(missing)} is not set in the environment: set it where the "
            "node is started"
        )
    if "://" not in address.shown:
        _tried(problems, lambda: _check_file(camera, address, rig))
    return problems


def _check_file(camera: CameraSettings, address: Address, rig: Rig | None) -> None:
    if address.observed:
        info = read_info(address.path)
        if camera.name not in info.cameras:
            raise SourceError(
                f"{address.shown} has no camera {camera.name}; it has {', '.join(info.cameras)}"
            )
        return
    video = probe(address.path)
    if rig is not None and camera.name in rig.names:
        size = (video.width_px, video.height_px)
        size_factor(camera.name, size, rig.size[rig.names.index(camera.name)])


def as_dict(settings: SessionSettings) -> dict[str, Any]:
    """Give all settings for a program: paths as texts, sources without credentials."""
    values = asdict(settings)
    for camera, written in zip(settings.cameras, values["cameras"], strict=True):
        written["source"] = camera.shown
        del written["folder"]
    plain: dict[str, Any] = _plain(values)
    plain["area"] = describe_area(settings)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def describe_area(settings: SessionSettings) -> str:
    """Say where people are reported from."""
    return "where enough cameras look" if settings.area is None else str(settings.area)


def _lines(settings: SessionSettings, rig: Rig | None) -> Iterator[tuple[str, str]]:
    yield "session", f"{settings.name} on node {settings.node}"
    cameras = "" if rig is None else f", {len(rig.names)} cameras"
    yield "rig", f"{settings.rig}{cameras}"
    yield "area", describe_area(settings)
    for camera in settings.cameras:
        yield f"camera {camera.name}", f"{camera.shown}{_how(camera)}"
    plan = settings.models.plan
    if settings.sees:
        yield (
            "models",
            f"{plan.pose.model}, whole frames every {plan.detect_every}, input "
            f"{plan.input_px} px, at {settings.models.triton or 'a server of its own'}",
        )
    else:
        yield "models", "none: every camera brings its people along"
    yield (
        "tracking",
        f"{settings.tracking.rate_hz:g} Hz, smoothed {settings.tracking.lag_ms:g} ms later",
    )
    load = settings.load
    yield (
        "load",
        f"{len(load.steps)} steps; one up when {load.overtaken_share:.0%} of the frames in "
        f"{load.window_s:g} s are overtaken, one down after {load.calm_s:g} s",
    )
    for team in settings.roster:
        yield "team", f"{team.name}: {', '.join(f'{p.number} {p.name}' for p in team.players)}"
    yield from _kept(settings)
    limits = settings.availability
    yield (
        "officials",
        f"available while, over {limits.window_s:g} s: {limits.min_views} views, p95 of std "
        f"{limits.max_std_mm:g} mm, age {limits.max_snapshot_age_ms:g} ms; off after "
        f"{limits.off_after_s:g} s",
    )
    listen = settings.listen
    streams = settings.streams
    held = f"{streams.max_subscribers} at most, the last {streams.hold_s:g} s held"
    yield "subscribers", f"{listen.subscribers} ({held})"
    yield "admin", listen.admin or "a socket in the state folder"
    yield "metrics", listen.metrics
    told = settings.telemetry
    traces = f"one frame-set in {told.trace_every} to {told.otlp}" if told.otlp else "nowhere"
    yield "telemetry", f"log level {told.log_level}, traces {traces}"


def _kept(settings: SessionSettings) -> Iterator[tuple[str, str]]:
    journal, ring = settings.journal, settings.ring
    yield "state", str(settings.state)
    kept = f"{journal.max_gb:g} GB and {journal.max_age_h:g} h at most"
    yield "journal", f"{kept}, a checkpoint every {journal.checkpoint_every_s:g} s"
    if ring.minutes:
        kept = f"the last {ring.minutes:g} min of each camera, {ring.max_gb:g} GB at most"
        yield "video", f"{kept}, in files of {ring.segment_s:g} s"
    else:
        yield "video", "none is kept"


def _how(camera: CameraSettings) -> str:
    options = camera.options
    said = []
    address = parse_source(camera.source, camera.folder)
    if "://" in address.shown:
        said.append(f"RTP over {options.transport}")
        if not options.use_sender_clock:
            said.append("times of arrival")
        if options.latency_ns:
            said.append(f"less {options.latency_ns / 1e6:g} ms")
    else:
        said.append("observations" if address.observed else "video")
        said += ["in a loop"] if options.loop else []
        said += [] if options.shift else ["with its own times"]
    return f" ({', '.join(said)})"
