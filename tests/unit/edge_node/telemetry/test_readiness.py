"""Readiness: only when everything holds, and never again once the node was told to go."""

from __future__ import annotations

import threading

from edge_node.telemetry.readiness import Readiness, Teller


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


def test_what_is_told_last_is_how_things_stand() -> None:
    """Two threads change it at once, and the first is slow to tell."""
    slow, said = threading.Event(), list[bool]()

    def tell(ready: bool) -> None:
        if ready:
            slow.set()
            leaving.join(0.2)
        said.append(ready)

    readiness = Readiness(["rig"], tell)

    def leave() -> None:
        slow.wait(10.0)
        readiness.leave()

    leaving = threading.Thread(target=leave)
    leaving.start()
    readiness.hold("rig")
    leaving.join(10.0)
    assert said == [True, False]
    assert not readiness.ready


def test_a_teller_hands_on_one_after_the_other_whatever_fails() -> None:
    said: list[bool] = []

    def tell(ready: bool) -> None:
        said.append(ready)
        if len(said) == 1:
            raise ValueError("the server does not answer")

    teller = Teller(tell)
    for number in range(50):
        teller(number % 2 == 0)
    teller.close()
    teller._thread.join(10.0)
    assert said == [number % 2 == 0 for number in range(50)]
