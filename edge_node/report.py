"""`report.html`: what was tracked and how well, in one page that needs nothing else."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_node.colours import as_hex, track_colour
from edge_node.drawing import timeline, view_from_above
from edge_node.summary import CONFIDENT, limb_ratios

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_node.summary import SummarySink

NS = 1e9
UNKNOWN = "–"
STAGES = {
    "decode": "Decoding the videos",
    "convert": "RGB into shared memory",
    "detect": "Searching whole frames",
    "pose": "Posing expected people",
    "plan": "Predicting and planning",
    "track": "Tracking, snapshots",
    "parquet": "Writing tracks.parquet",
    "overlay": "Drawing overlay.mp4",
    "summary": "Measuring",
    "stream": "Streaming",
    "total": "In all, by the clock",
}


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What a report is made of."""

    title: str
    """Its headline."""
    measured: SummarySink
    """What was measured."""
    summary: Mapping[str, Any]
    """What `summary.json` says."""
    counts: Mapping[str, int]
    """How often each stage ran."""
    poster: bytes | None
    """A picture of the overlay as JPEG."""


def render_report(given: ReportInput) -> str:
    """Write the page."""
    page = resources.files("edge_node") / "templates" / "report.html"
    return Template(page.read_text("utf-8")).substitute(
        title=escape(given.title),
        lead=_lead(given),
        notes=_notes(given.summary),
        tiles=_tiles(given),
        poster=_poster(given.poster),
        tracks=_tracks(given),
        above=_figure(
            view_from_above(given.measured.rig, given.measured.tracks),
            "The middle of each track's joints over time; a ring where it begins, a disc with its "
            "id where it ends. Wedges are cameras and where they look.",
        ),
        confident=f"{CONFIDENT:g}",
        cameras=_cameras(given.measured),
        limbs=_limbs(given.measured),
        stages=_stages(given),
        models=_models(given.summary),
    )


def _lead(given: ReportInput) -> str:
    measured = given.measured
    seconds = (measured.times_ns[-1] - measured.times_ns[0]) / NS if measured.times_ns else 0.0
    people = _count(len(measured.tracks), "person", "people")
    cameras, frames = len(measured.rig.names), measured.frames
    return (
        f"{people} tracked by {_count(cameras, 'camera')} in {_count(frames, 'frame')} over "
        f"{seconds:.2f} s of play."
    )


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _notes(summary: Mapping[str, Any]) -> str:
    notes = []
    if summary["interrupted"]:
        notes.append("The run was interrupted: this is what had been tracked until then.")
    if summary["outside"]:
        notes.append(
            f"{_count(summary['outside'], 'track')} outside the area that counts "
            f"({escape(summary['area'])}) {'is' if summary['outside'] == 1 else 'are'} left out."
        )
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _tiles(given: ReportInput) -> str:
    measured, seconds = given.measured, given.summary["seconds"]
    spread = measured.reprojection()
    frames = sum(camera.frames for camera in measured.cameras)
    rate = frames / seconds["total"] if seconds.get("total") else None
    tiles = [
        (str(len(measured.tracks)), "tracks"),
        (_number(spread["median"], "{:.1f} px"), "median reprojection"),
        (_number(spread["p95"], "{:.0f} px"), "95th percentile of it"),
        (_number(measured.limb_variation(), "{:.1%}"), "limb length variation"),
        (_number(rate, "{:.0f}"), "camera frames a second"),
    ]
    return "\n".join(f"<li><b>{value}</b><span>{label}</span></li>" for value, label in tiles)


def _poster(poster: bytes | None) -> str:
    if poster is None:
        return ""
    data = base64.b64encode(poster).decode("ascii")
    return (
        f"<figure><img alt=\"All cameras side by side, each track's skeleton drawn where it "
        f'reprojects, with its id" src="data:image/jpeg;base64,{data}">'
        "<figcaption>One frame of overlay.mp4, which lies beside this page.</figcaption></figure>"
    )


def _tracks(given: ReportInput) -> str:
    measured = given.measured
    if not measured.tracks:
        return "<p>Nobody was tracked.</p>"
    start, end = measured.times_ns[0], measured.times_ns[-1]
    rows = [
        [
            _chip(track["id"]),
            f"{(track['first_time_ns'] - start) / NS:.3f} s",
            f"{(track['last_time_ns'] - start) / NS:.3f} s",
            f"{track['snapshots']} of {measured.frames}",
            _number(track["reprojection_px"]["median"], "{:.1f} px"),
            _number(track["limb_length_variation"], "{:.1%}"),
        ]
        for track in given.summary["tracks"]
    ]
    head = [
        "Track",
        "First seen",
        "Last seen",
        "Snapshots",
        "Median reprojection",
        "Limb variation",
    ]
    drawn = _figure(timeline(measured.tracks, start, end), "When each track was there.")
    return drawn + _table("Tracks, one row each", head, rows)


def _cameras(measured: SummarySink) -> str:
    worst = max(
        (measured.reprojection(c)["median"] or 0.0 for c in range(len(measured.rig.names))),
        default=0.0,
    )
    rows = []
    for camera, health in enumerate(measured.cameras):
        spread, (known, unknown) = measured.reprojection(camera), measured.keypoints(camera)
        share = 100.0 * (spread["median"] or 0.0) / worst if worst else 0.0
        rows.append(
            [
                escape(health.name),
                _number(spread["median"], "{:.1f} px"),
                f'<span class="bar" style="width:{share:.0f}%"></span>',
                _number(spread["p95"], "{:.0f} px"),
                f"{known + unknown}",
                f"{measured.views_asked[camera]} of {health.frames}",
                str(health.dropped),
            ]
        )
    head = ["Camera", "Median", "", "95th percentile", "Keypoints", "Frames asked about", "Dropped"]
    return _table("Reprojection, one row a camera", head, rows)


def _limbs(measured: SummarySink) -> str:
    if not measured.tracks:
        return "<p>Nobody was tracked.</p>"
    joints = measured.skeleton.joints
    names = [f"{joints[a]} – {joints[b]}".replace("_", " ") for a, b in measured.limbs]
    tables = measured.lengths_m()
    rows = []
    for limb, name in enumerate(names):
        cells = [escape(name)]
        for track in sorted(tables):
            values = tables[track][:, limb]
            values = values[np.isfinite(values)] * 100.0
            ratio = limb_ratios(tables[track])[limb]
            known = f"{values.mean():.1f} ± {values.std():.1f}" if len(values) else UNKNOWN
            cells.append(f"{known} ({_number(float(ratio), '{:.1%}')})")
        rows.append(cells)
    head = ["Limb", *(f"Track {_chip(track)}" for track in sorted(tables))]
    return _table("Length in cm, and its variation", head, rows)


def _stages(given: ReportInput) -> str:
    seconds = given.summary["seconds"]
    longest = max(seconds.values(), default=0.0)
    ordered = [stage for stage in STAGES if stage in seconds]
    ordered[-1:-1] = sorted(set(seconds) - set(STAGES))
    rows = []
    for stage in ordered:
        count = given.counts.get(stage, 0)
        each = f"{1000 * seconds[stage] / count:.1f} ms" if count > 1 else UNKNOWN
        share = 100.0 * seconds[stage] / longest if longest else 0.0
        rows.append(
            [
                escape(STAGES.get(stage, stage)),
                f"{seconds[stage]:.2f} s",
                f'<span class="bar" style="width:{share:.0f}%"></span>',
                str(count) if count > 1 else UNKNOWN,
                each,
            ]
        )
    return _table("Seconds by stage", ["Stage", "Seconds", "", "Times", "Each"], rows)


def _models(summary: Mapping[str, Any]) -> str:
    models = [
        [
            escape(model["name"]),
            escape(model["licence"]),
            f"<code>{escape(model['sha256'])}</code>",
        ]
        for model in summary["models"]
    ]
    made_by = [[escape(name), escape(version)] for name, version in summary["versions"].items()]
    first = _table("Models that took part", ["Model", "Licence", "sha256"], models, text=True)
    return first + _table("Versions", ["Package", "Version"], made_by, text=True)


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, text: bool = False
) -> str:
    """Write a table; its cells are HTML already."""
    kind = ' class="text"' if text else ""
    titles = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{_cell_class(cell, kind)}>{cell}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table{kind}><caption>{caption}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell_class(cell: str, kind: str) -> str:
    return ' class="barcell"' if cell.startswith('<span class="bar"') else kind


def _chip(track: int) -> str:
    return f'<span class="chip" style="background:{as_hex(track_colour(track))}">{track}</span>'


def _number(value: float | None, form: str) -> str:
    return form.format(value) if value is not None and np.isfinite(value) else UNKNOWN
