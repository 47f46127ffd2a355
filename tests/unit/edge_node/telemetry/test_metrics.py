"""The metrics: what is exported is what is documented, in base units, with bounded labels."""

from __future__ import annotations

import contextlib
import re
import threading
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import edge_node.telemetry
from edge_node.frames import CameraHealth, CameraState, Degradation, DegradationKind
from edge_node.telemetry.metrics import TABLE, Metrics
from tests.support.live import PlayedNode
from tipoff.errors import ConflictError

DOCUMENT = Path(edge_node.telemetry.__file__).with_name("metrics.md")


def exported(metrics: Metrics) -> dict[str, tuple[str, str]]:
    address, close = metrics.serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        close()
    families = text_string_to_metric_families(text)
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            family.documentation,
        )
        for family in families
    }


def test_what_is_exported_is_what_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", DOCUMENT.read_text(), re.M)
    documented = {name: (kind, help_) for name, kind, _, help_ in rows}
    own = {n: v for n, v in exported(Metrics()).items() if n.startswith("tipoff_")}
    assert documented == own
    labels = {name: labels for name, _, labels, _ in rows}
    assert labels == {m.name: ", ".join(m.labels) or "-" for m in TABLE}


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_names_follow_the_customs(metric: object) -> None:
    name, kind = metric.name, metric.kind  # type: ignore[attr-defined]
    assert name.endswith("_total") == (kind == "counter")
    assert not re.search(r"_(ms|ns|us|millis|mm|kb|mb|percent)(_|$)", name)
    if kind == "histogram":
        assert name.endswith("_seconds")


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_is_said_with_a_remedy(host: str) -> None:
    address, close = Metrics().serve("127.0.0.1", 0)
    try:
        with pytest.raises(ConflictError, match=rf"{host}:\d+: .*; give listen\.metrics another"):
            Metrics().serve(host, int(address.rpartition(":")[2]))
    finally:
        close()


def test_a_played_game_shows_in_the_numbers() -> None:
    metrics = Metrics()
    node = PlayedNode(watcher=metrics)
    node.play(range(30))
    node.close()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("tipoff_snapshots_total", kind="live") == len(node.live.published)
    assert value("tipoff_snapshots_total", kind="smoothed") == len(node.smoothed.published)
    assert value("tipoff_camera_frames_total", camera=node.rig.names[0]) == 30
    assert value("tipoff_tracks") == 3
    assert value("tipoff_commit_seconds_count") == node.log.commits
    assert value("tipoff_round_track_seconds_count") == value("tipoff_rounds_total")


def test_states_show_as_one_of_many() -> None:
    metrics = Metrics()
    metrics.show_cameras([CameraHealth("cam1", CameraState.FROZEN, 0, 0, None, left_out=True)])
    metrics.show_degradations([Degradation(DegradationKind.JOURNAL_SLOW, "")])
    get = metrics.registry.get_sample_value
    assert get("tipoff_camera_state", {"camera": "cam1", "state": "frozen"}) == 1
    assert get("tipoff_camera_state", {"camera": "cam1", "state": "live"}) == 0
    assert get("tipoff_camera_left_out", {"camera": "cam1"}) == 1
    assert get("tipoff_degradation", {"kind": "journal slow"}) == 1
    assert get("tipoff_degradation", {"kind": "lower rate"}) == 0


def test_totals_that_others_count_never_run_back() -> None:
    metrics = Metrics()
    total = [5.0]
    metrics.ask(lambda m: m.count_up("tipoff_camera_reconnects_total", ("cam1",), total[0]))
    get = metrics.registry.get_sample_value
    exported(metrics)
    total[0] = 3.0
    exported(metrics)
    assert get("tipoff_camera_reconnects_total", {"camera": "cam1"}) == 5
    total[0] = 9.0
    exported(metrics)
    assert get("tipoff_camera_reconnects_total", {"camera": "cam1"}) == 9


def test_two_scrapes_at_once_count_a_total_once() -> None:
    metrics, both = Metrics(), threading.Barrier(2)

    class Slow(dict[tuple[str, ...], float]):
        """What was counted; whoever reads it is overtaken by the other one."""

        def get(self, *args: Any) -> Any:
            value = super().get(*args)
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.3)
            return value

    metrics._totals = Slow()
    scrape = partial(metrics.count_up, "tipoff_camera_reconnects_total", ("cam1",), 5)
    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert metrics["tipoff_camera_reconnects_total"].labels("cam1")._value.get() == 5
