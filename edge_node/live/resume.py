"""Where a session goes on: tracker, members of the area, and what its subscribers still want.

A journal that is there decides. Its calls are run again on the last checkpoint and must give the
bits that were sent; where they do not, or the session was set up otherwise, the tracker begins
anew, the journal says so, and no subscriber is told that nothing happened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from accel import Tracker
from edge_node.area import Membership
from edge_node.description import StreamKind
from edge_node.journal.entries import Restarted, StateChanged
from edge_node.journal.errors import ReplayDifferedError
from edge_node.journal.resuming import resume_tracker
from edge_node.ring import Held

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from accel import Rig, TrackerOptions
    from edge_node.area import Area
    from edge_node.journal.entries import Snapped
    from edge_node.journal.gathering import Recovery
    from edge_node.journal.journal import Journal

log = structlog.get_logger(__name__)

MEMBERS = "members"
"""Name of the area's state in the journal."""
SCHEDULE = "schedule"
"""Name of the recordings' schedule in the journal."""
PLAYS_ON_WITHIN_NS = 60_000_000_000
"""A node that was away for longer plays its recordings from their beginning again."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a session begins with, or goes on from."""

    tracker: Tracker
    """Fresh, or as it was to the bit."""
    members: Mapping[str, Any] | None = None
    """State of the area's membership; None: nobody was seen yet."""
    last_time_ns: int | None = None
    """Time of the last live snapshot that was sent; None: there was none."""
    past: MutableMapping[str, Sequence[Held]] = field(default_factory=dict)
    """By stream, what was sent lately in earlier epochs; whoever takes it holds it from then on."""
    began_ns: int | None = None
    """When the game that recordings play began, ns UTC; None: it begins now."""


def schedule_state(began_ns: int) -> StateChanged:
    """Say for the journal when the game that recordings play began, and that it is played now."""
    return StateChanged(SCHEDULE, {"began_ns": began_ns, "played_ns": time.time_ns()})


def _began_ns(found: Recovery) -> int | None:
    """Give when the game began that is still played: cameras do not wait for a node either."""
    said = found.states.get(SCHEDULE)
    if said is None:
        return None
    if time.time_ns() - int(said["played_ns"]) > PLAYS_ON_WITHIN_NS:
        return None
    return int(said["began_ns"])


def resume(journal: Journal, rig: Rig, options: TrackerOptions, area: Area) -> Resumed:
    """Go on from what the journal holds.

    Args:
        journal: Open; it is told where the tracker begins anew.
        rig: The calibrated cameras.
        options: Of a tracker that begins anew.
        area: Where people are reported from.
    """
    found = journal.recovered
    if found is None:
        return Resumed(Tracker(rig, options))
    for damage in found.damages:
        log.error("journal damaged", record=damage.record, found=damage.reason, aside=damage.aside)
    past: dict[str, Sequence[Held]] = {
        kind: tuple(Held(m.epoch, m.sequence, m.time_ns, m.message) for m in messages)
        for kind, messages in found.messages.items()
    }
    if not journal.resumes:
        return _anew(journal, rig, options, past, found.why_not)
    try:
        tracker, members = _again(found, rig, area)
    except ReplayDifferedError as error:
        return _anew(journal, rig, options, past, error.message)
    return Resumed(tracker, members, found.last_time_ns, past, _began_ns(found))


def _anew(
    journal: Journal,
    rig: Rig,
    options: TrackerOptions,
    past: MutableMapping[str, Sequence[Held]],
    why: str,
) -> Resumed:
    log.warning("the tracker begins anew", reason=why)
    journal.commit([Restarted(why)])
    found = journal.recovered
    if found is None:
        return Resumed(Tracker(rig, options), past=past)
    return Resumed(Tracker(rig, options), None, found.last_time_ns, past, _began_ns(found))


def _again(found: Recovery, rig: Rig, area: Area) -> tuple[Tracker, Mapping[str, Any]]:
    """Run the calls after the last checkpoint again, and let the area see what it saw then."""
    members = Membership(area)
    if found.checkpoint is not None and MEMBERS in found.states:
        members.resume(found.states[MEMBERS])

    def see(call: Snapped, tracker: Tracker) -> None:
        if call.kind == StreamKind.LIVE:
            members.update(tracker.snapshot(call.time_ns))

    return resume_tracker(rig, found, see), members.state()
