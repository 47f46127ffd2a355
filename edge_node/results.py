"""The files that a run leaves: tracks.parquet, summary.json, overlay.mp4 and report.html."""

from __future__ import annotations

import json
import weakref
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_node.overlay import OverlaySink
from edge_node.report import ReportInput, render_report
from edge_node.session import versions
from edge_node.sinks import files
from edge_node.sinks.parquet import ParquetSink
from edge_node.summary import SummarySink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_node.frames import Sink
    from edge_node.pipeline import PipelineResult
    from edge_node.session import Session

TRACKS = "tracks.parquet"
SUMMARY = "summary.json"
OVERLAY = "overlay.mp4"
REPORT = "report.html"


class ResultFiles:
    """Gives the sinks of a run, and puts all its files in their place at its end.

    What an earlier run left stays as it is until then, and for good when this one fails.

    Args:
        out: The folder.
        session: What is tracked.
        title: Headline of the report.
        overlay: Whether to draw the overlay.
    """

    def __init__(self, out: Path, session: Session, title: str, *, overlay: bool = True) -> None:
        self.out = files.result_folder(out)
        self._session, self._title = session, title
        self.measured = SummarySink(session.rig, session.skeleton)
        notes = {
            "rig_digest": session.rig.digest(),
            "time": "ns UTC" if session.options.start_ns else "ns since the recording began",
            "versions": json.dumps(versions()),
        }
        written = [self.out / TRACKS, *([self.out / OVERLAY] if overlay else [])]
        self._written = written
        self._discard = weakref.finalize(self, _discard, written)
        tracks = ParquetSink(files.part_of(self.out / TRACKS), session.skeleton, notes)
        self._overlay = self._open_overlay() if overlay else None
        self.sinks: tuple[Sink, ...] = (tracks, self.measured)
        if self._overlay is not None:
            self.sinks = (*self.sinks, self._overlay)

    def _open_overlay(self) -> OverlaySink:
        session = self._session
        frames = (session.total or 0) // max(len(session.sources), 1)
        path = files.part_of(self.out / OVERLAY)
        return OverlaySink(path, session.rig, session.skeleton, session.rate_hz, frames // 2)

    def finish(self, result: PipelineResult) -> dict[str, Any]:
        """Write the summary and the report, put everything in its place, give the summary.

        Call it when the pipeline has ended, by itself or by an interrupt.
        """
        summary = self.summary(result)
        for path in (self.out / TRACKS, self.out / OVERLAY):
            # There is no overlay of a run without a frame; one of an earlier run would be taken
            # for this one's.
            if path in self._written and files.part_of(path).exists():
                files.finish(path)
            else:
                path.unlink(missing_ok=True)
        with files.whole(self.out / SUMMARY) as path:
            path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", "utf-8")
        poster = self._overlay.poster if self._overlay is not None else None
        given = ReportInput(self._title, self.measured, summary, result.counts, poster)
        with files.whole(self.out / REPORT) as path:
            path.write_text(render_report(given), "utf-8")
        return summary

    def summary(self, result: PipelineResult) -> dict[str, Any]:
        """Give what `summary.json` says."""
        session, plan = self._session, self._session.options.plan
        measured = self.measured.as_dict()
        cameras = [
            {
                "name": health.name,
                "video": str(source.path),
                "codec": source.info.codec,
                "size_px": [source.info.width_px, source.info.height_px],
                "frames": health.frames,
                "asked": self.measured.views_asked[camera],
                "dropped": health.dropped,
                "reprojection_px": self.measured.reprojection(camera),
            }
            for camera, (health, source) in enumerate(
                zip(result.cameras, session.sources, strict=True)
            )
        ]
        return {
            "cameras": cameras,
            **measured,
            "outside": result.outside,
            "area": str(session.area),
            "interrupted": result.interrupted,
            "seconds": {stage: round(spent, 6) for stage, spent in result.seconds.items()},
            "counts": result.counts,
            "closed_loop": {"on": plan.closed_loop, **asdict(plan)},
            "models": [asdict(model) for model in session.models],
            "versions": versions(),
            "rig_digest": session.rig.digest(),
        }


def _discard(paths: Sequence[Path]) -> None:
    for path in paths:
        files.discard(path)
