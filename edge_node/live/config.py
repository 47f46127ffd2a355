"""The session file: one TOML file declares a live session.

    name = "game-7"
    rig = "court.toml"

    [cameras]
    north = "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.11/stream1"
    south = "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.12/stream1"

Paths start from the file's folder. Everything else has a default; `tipoff node check` shows what
was understood. Every error names the line and what to write instead.
"""

from __future__ import annotations

import re
import socket
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_node.area import Everywhere, Rectangle
from edge_node.cameras.address import parse_source
from edge_node.cameras.source import SourceOptions
from edge_node.description import Player, Team
from edge_node.epochs import state_folder
from edge_node.live.load import LoadOptions, LoadStep
from edge_node.live.reading import Table, read_table
from edge_node.live.rounds import RoundOptions
from edge_node.live.settings import (
    AvailabilitySettings,
    CameraSettings,
    JournalSettings,
    ListenSettings,
    ModelSettings,
    RingSettings,
    SessionSettings,
    StreamSettings,
    TelemetrySettings,
    TrackingSettings,
)
from edge_node.planner import PlanOptions
from edge_node.posing import PoseOptions
from tipoff.credentials import hidden

if TYPE_CHECKING:
    from edge_node.area import Area

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
"""What a session or a node may be called: it becomes a folder and a label."""
_HOST = re.compile(r"^[^/@?\s]+$")
MAX_TEAMS = 2
MAX_PLAYERS = 64
MAX_STEPS = 32
MS = 1_000_000

T = TypeVar("T")


def read_session(path: Path) -> SessionSettings:
    """Read a session file.

    Args:
        path: The file.

    Raises:
        SessionFileError: it cannot be read, or says what cannot be.
    """
    top = read_table(path)
    folder = path.resolve().parent
    name = _name(top, "name", None)
    sources = _sources(top)
    settings = SessionSettings(
        file=path,
        name=name,
        node=_name(top, "node", _host_name()),
        state=folder / state if (state := top.text("state", None)) else state_folder() / name,
        rig=folder / top.needed("rig", "rig.toml"),
        scale=top.number("scale", None, 1e-6, 1e6),
        area=_area(top),
        cameras=_cameras(top, folder, sources),
        sources=sources,
        models=_models(top.table("models")),
        tracking=_plain(top.table("tracking"), TrackingSettings(), _TRACKING),
        rounds=_rounds(top.table("rounds")),
        load=_load(top.table("load")),
        roster=_roster(top.table("roster")),
        journal=_plain(top.table("journal"), JournalSettings(), _JOURNAL),
        ring=_plain(top.table("ring"), RingSettings(), _RING),
        availability=_plain(top.table("availability"), AvailabilitySettings(), _AVAILABILITY),
        streams=_plain(top.table("streams"), StreamSettings(), _STREAMS),
        listen=_listen(top.table("listen")),
        telemetry=_telemetry(top.table("telemetry")),
    )
    top.done()
    return settings


_TRACKING = {"lag_ms": (0.0, 1000.0), "rate_hz": (1.0, 240.0)}
_JOURNAL = {"max_gb": (0.1, 1e5), "max_age_h": (0.1, 1e5), "checkpoint_every_s": (0.5, 600.0)}
_RING = {"minutes": (0.0, 1440.0), "max_gb": (0.1, 1e5), "segment_s": (1.0, 60.0)}
_STREAMS = {"hold_s": (1.0, 3600.0), "max_subscribers": (1, 10_000)}
_AVAILABILITY = {
    "window_s": (0.1, 60.0),
    "min_views": (2, 64),
    "max_std_mm": (1.0, 1000.0),
    "max_snapshot_age_ms": (10.0, 10_000.0),
    "off_after_s": (0.1, 60.0),
}


def _plain(table: Table, defaults: T, bounds: dict[str, tuple[float, float]]) -> T:
    """Read a table of numbers and flags into its dataclass."""
    read: dict[str, Any] = {}
    for field in fields(defaults):  # type: ignore[arg-type]
        value = getattr(defaults, field.name)
        if isinstance(value, bool):
            read[field.name] = table.flag(field.name, value)
        elif isinstance(value, int):
            low, high = bounds[field.name]
            read[field.name] = table.integer(field.name, value, int(low), int(high))
        else:
            read[field.name] = table.number(field.name, value, *bounds[field.name])
    table.done()
    made: T = table.made(None, lambda: type(defaults)(**read))
    return made


def _name(top: Table, key: str, default: str | None) -> str:
    value = top.needed(key, "game-7") if default is None else top.text(key, default)
    if not NAME.match(value):
        raise top.error(
            key,
            f"{value!r} is no name: letters, digits, dots, dashes and underscores, 64 at most, the "
            "first a letter or a digit",
        )
    return value


def _host_name() -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64]
    return name if NAME.match(name) else "node"


def _area(top: Table) -> Area | None:
    if top.raw("area") == "all":
        return Everywhere()
    if isinstance(top.raw("area"), str):
        raise top.error("area", 'must be "all" or [x0, y0, x1, y1] in metres')
    corners = top.numbers("area", 4)
    if corners is None:
        return None
    area: Area = top.made("area", lambda: Rectangle(*corners))
    return area


# ---- cameras ------------------------------------------------------------------------------------


def _sources(top: Table) -> SourceOptions:
    """Read [sources], the options of every camera without its own."""
    table = top.table("sources")
    options = _source_options(table, SourceOptions())
    table.done()
    return options


def _cameras(top: Table, folder: Path, common: SourceOptions) -> tuple[CameraSettings, ...]:
    """Read [cameras], a line or a table each, on top of the common options."""
    table = top.table("cameras")
    if not table.names:
        raise table.error(
            None, 'names no camera: write [cameras] and under it cam1 = "rtsp://HOST/PATH"'
        )
    return tuple(_camera(table, name, common, folder) for name in table.names)


def _camera(table: Table, name: str, common: SourceOptions, folder: Path) -> CameraSettings:
    if isinstance(table.raw(name), str):
        source, options, where, key = table.needed(name, "cam1.mp4"), common, table, name
    else:
        where, key = table.table(name), "source"
        source = where.needed("source", "rtsp://HOST/PATH")
        options = _source_options(where, common)
        where.done()
    where.made(key, lambda: parse_source(source, folder))
    return CameraSettings(name, source, options, folder)


def _source_options(table: Table, common: SourceOptions) -> SourceOptions:
    latency_ms = table.number("latency_ms", common.latency_ns / MS, 0.0, 10_000.0)
    return replace(
        common,
        loop=table.flag("loop", common.loop),
        shift=table.flag("shift", common.shift),
        transport=table.choice("transport", common.transport, ("tcp", "udp")),
        use_sender_clock=table.flag("sender_clock", common.use_sender_clock),
        latency_ns=round(latency_ms * MS),
        open_timeout_s=table.number("open_timeout_s", common.open_timeout_s, 0.1, 60.0),
        read_timeout_s=table.number("read_timeout_s", common.read_timeout_s, 0.1, 60.0),
    )


# ---- inference and policies ---------------------------------------------------------------------


def _models(table: Table) -> ModelSettings:
    plan, settings = PlanOptions(), ModelSettings()
    pose = table.text("pose_model", plan.pose.model, "multipose")
    detect = table.integer("detect_every", plan.detect_every, 1, 100_000)
    rest = table.integer("rest_every", plan.rest_every, 0, 100_000)
    size = table.integer("input_size", plan.input_px, 32, 4096)
    made: PlanOptions = table.made(
        None, lambda: PlanOptions(detect, rest, size, PoseOptions(model=pose))
    )
    read = ModelSettings(
        plan=made,
        threshold=table.number("threshold", settings.threshold, 0.0, 1.0),
        triton=_address(table, "triton", None),
    )
    table.done()
    return read


def _rounds(table: Table) -> RoundOptions:
    hold_ms = table.number("hold_ms", RoundOptions().hold_ns / MS, 0.0, 1000.0)
    table.done()
    return RoundOptions(round(hold_ms * MS))


def _load(table: Table) -> LoadOptions:
    defaults = LoadOptions()
    steps = tuple(_step(each) for each in table.tables("steps", MAX_STEPS)) or defaults.steps
    values = {
        "window_s": table.number("window_s", defaults.window_s, 0.1, 60.0),
        "overtaken_share": table.number("overtaken_share", defaults.overtaken_share, 0.001, 0.99),
        "calm_s": table.number("calm_s", defaults.calm_s, 0.1, 3600.0),
        "calm_most_s": table.number("calm_most_s", defaults.calm_most_s, 0.1, 3600.0),
    }
    table.done()
    made: LoadOptions = table.made(None, lambda: LoadOptions(steps=steps, **values))
    return made


def _step(table: Table) -> LoadStep:
    detect = table.integer("detect_factor", 1, 1, 1000)
    posed = table.number("posed_share", 1.0, 0.01, 1.0)
    divisor = table.integer("rate_divisor", 1, 1, 1000)
    table.done()
    made: LoadStep = table.made(None, lambda: LoadStep(detect, posed, divisor))
    return made


# ---- people -------------------------------------------------------------------------------------


def _roster(table: Table) -> tuple[Team, ...]:
    teams = tuple(_team(each) for each in table.tables("teams", MAX_TEAMS))
    table.done()
    if len({team.name for team in teams}) < len(teams):
        raise table.error("teams", f"two teams are called {teams[0].name!r}; give each its name")
    return teams


def _team(table: Table) -> Team:
    name = table.needed("name", "Home")
    players = table.table("players")
    if len(players.names) > MAX_PLAYERS:
        raise players.error(None, f"has {len(players.names)} players; at most {MAX_PLAYERS}")
    read = []
    for number in players.names:
        if not re.fullmatch(r"[0-9]{1,2}", number):
            raise players.error(number, 'is no shirt number: write "23" = "Name"')
        read.append(Player(number, players.needed(number, "Name")))
    table.done()
    return Team(name, tuple(read))


# ---- where it is reached ------------------------------------------------------------------------


def _listen(table: Table) -> ListenSettings:
    defaults = ListenSettings()
    admin = table.text("admin", defaults.admin, "unix:admin.sock")
    if admin and not admin.startswith("unix:"):
        admin = _address(table, "admin", defaults.admin)
    metrics = table.text("metrics", defaults.metrics, defaults.metrics)
    if metrics != "off":
        metrics = _address(table, "metrics", defaults.metrics)
    read = ListenSettings(_address(table, "subscribers", defaults.subscribers), admin, metrics)
    table.done()
    return read


def _address(table: Table, key: str, default: T) -> str | T:
    value = table.text(key, default, "127.0.0.1:7400")
    if value is default:
        return default
    host, colon, port = str(value).rpartition(":")
    good = _HOST.match(host) and colon and re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536
    if not good:
        raise table.error(key, f"{hidden(str(value))!r} is no HOST:PORT, such as 127.0.0.1:7400")
    return value


def _telemetry(table: Table) -> TelemetrySettings:
    defaults = TelemetrySettings()
    levels = ("debug", "info", "warning", "error")
    read = TelemetrySettings(
        log_level=table.choice("log_level", defaults.log_level, levels),
        otlp=_address(table, "otlp", defaults.otlp),
        trace_every=table.integer("trace_every", defaults.trace_every, 1, 1_000_000),
    )
    table.done()
    return read
