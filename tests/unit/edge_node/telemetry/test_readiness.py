"""Readiness: only when everything holds, and never again once the node was told to go."""

from __future__ import annotations

from edge_node.telemetry.readiness import Readiness


def test_all_conditions_have_to_hold() -> None:
    said: list[bool] = []
    ready = Readiness(["rig", "models", "cameras"], said.append)
    ready.hold("rig")
    ready.fail("models", "movenet is loading")
    assert ready.waits_for == ("models: movenet is loading", "cameras: not looked at yet")
    ready.hold("cameras")
    assert said == []
    ready.hold("models")
    assert said == [True]
    assert ready.ready
    ready.fail("cameras", "1 of 4 is live")
    assert said == [True, False]
    ready.hold("cameras")
    assert said == [True, False, True]


def test_a_node_that_leaves_is_not_ready_whatever_holds() -> None:
    said: list[bool] = []
    ready = Readiness(["rig"], said.append)
    ready.hold("rig")
    ready.leave()
    ready.fail("rig", "gone")
    ready.hold("rig")
    assert said == [True, False]
    assert ready.waits_for == ("told to go",)
