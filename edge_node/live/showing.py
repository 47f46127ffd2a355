"""What a scrape of the metrics shows of a node that is only known when somebody asks."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from edge_node.journal.folder import file_bytes, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.cameras.place import CameraStatus
    from edge_node.live.committer import Committer
    from edge_node.live.node import LiveNode
    from edge_node.live.opening import Opened
    from edge_node.telemetry.metrics import Metrics


class Showing:
    """Shows a node. Called at every scrape, in that one's thread.

    Args:
        node: What is shown.
        opened: What it rests on.
        committer: Writes its journal.
    """

    def __init__(self, node: LiveNode, opened: Opened, committer: Committer) -> None:
        self._node, self._opened, self._committer = node, opened, committer

    def __call__(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""
        node = self._node
        version = metadata.version("tipoff")
        metrics["tipoff_node_info"].labels(node.name, node.session, version).set(1)
        metrics["tipoff_epoch"].set(node.epoch)
        metrics["tipoff_ready"].set(node.ready)
        metrics["tipoff_subscribers"].set(node.subscribers)
        for kind, hub in node.hubs.items():
            metrics["tipoff_hub_held_bytes"].labels(kind).set(hub.held_bytes)
        metrics.show_availability(node.state.availability)
        metrics.show_degradations(node.state.degradations)
        _show_cameras(metrics, node.cameras())
        self._show_journal(metrics)
        self._show_inference(metrics)

    def _show_journal(self, metrics: Metrics) -> None:
        journal = self._opened.journal
        metrics["tipoff_journal_waiting"].set(self._committer.waiting)
        metrics["tipoff_journal_records"].set(journal.tip.record)
        sizes = [file_bytes(journal.folder, place) for place in places(journal.folder)]
        metrics["tipoff_journal_bytes"].set(sum(sizes))

    def _show_inference(self, metrics: Metrics) -> None:
        if self._opened.inference is not None:
            for stage, seconds in self._opened.inference.times.seconds.items():
                metrics.count_up("tipoff_inference_seconds_total", (stage,), seconds)


def _show_cameras(metrics: Metrics, statuses: Sequence[CameraStatus]) -> None:
    metrics.show_cameras([status.health for status in statuses])
    for status in statuses:
        name = status.health.name
        metrics.count_up("tipoff_camera_reconnects_total", (name,), status.reconnects)
        for reason, count in status.dropped.items():
            metrics.count_up("tipoff_camera_dropped_frames_total", (name, reason), count)
