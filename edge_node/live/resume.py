"""Where a session goes on: tracker, members of the area, and what its subscribers still want.

A journal that is there decides. Its calls are run again on the last checkpoint and must give the
bits that were sent; where they do not, or the session was set up otherwise, the tracker begins
anew, the journal says so, and no subscriber is told that nothing happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import structlog

from accel import Tracker
from edge_node.area import Membership
from edge_node.description import StreamKind, TimeBase
from edge_node.journal.entries import Restarted, StateChanged
from edge_node.journal.errors import ReplayDifferedError
from edge_node.journal.resuming import resume_tracker
from edge_node.live.by_hand import OFFICIALS
from edge_node.ring import Held
from edge_node.utc import utc_ns
from tipoff.errors import TipoffError

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
AHEAD_NS = 2_000_000_000
"""A last snapshot that lies so far in the future was made by a clock that has been set back."""


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
    off_reason: str = ""
    """Who turned officials off by hand, and why; empty: nobody has."""


def schedule_state(began_ns: int) -> StateChanged:
    """Say for the journal when the game that recordings play began, and that it is played now."""
    return StateChanged(SCHEDULE, {"began_ns": began_ns, "played_ns": utc_ns()})


def _began_ns(found: Recovery) -> int | None:
    """Give when the game began that is still played: cameras do not wait for a node either."""
    said = found.states.get(SCHEDULE)
    if said is None:
        return None
    try:
        began_ns, played_ns = int(said["began_ns"]), int(said["played_ns"])
    except (KeyError, TypeError, ValueError) as error:
        log.warning("when the game began is not known", reason=repr(error))
        return None
    if utc_ns() - played_ns > PLAYS_ON_WITHIN_NS:
        return None
    return began_ns


def _off_reason(found: Recovery) -> str:
    return str(found.states.get(OFFICIALS, {}).get("reason", ""))


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
    ahead_s = _ahead_s(found)
    if ahead_s:
        why = f"the last snapshot lies {ahead_s:.0f} s in the future: the clock was set back since"
        return replace(_anew(journal, rig, options, past, why), last_time_ns=None, began_ns=None)
    if not journal.resumes:
        return _anew(journal, rig, options, past, found.why_not)
    try:
        tracker, members = _again(found, rig, area)
    except TipoffError as error:
        # What another version's tracker took this one may refuse: that must not keep it from
        # starting.
        return _anew(journal, rig, options, past, error.message)
    began_ns, off_reason = _began_ns(found), _off_reason(found)
    return Resumed(tracker, members, found.last_time_ns, past, began_ns, off_reason)


def _ahead_s(found: Recovery) -> float:
    """Say how far in the future the last snapshot lies; 0: within what clocks may differ by."""
    facts, last_ns = found.facts, found.last_time_ns
    if facts is None or facts.time_base != TimeBase.UTC or last_ns is None:
        return 0.0
    ahead_ns = last_ns - utc_ns()
    return ahead_ns / 1e9 if ahead_ns > AHEAD_NS else 0.0


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
    began_ns, off_reason = _began_ns(found), _off_reason(found)
    return Resumed(Tracker(rig, options), None, found.last_time_ns, past, began_ns, off_reason)


def _again(found: Recovery, rig: Rig, area: Area) -> tuple[Tracker, Mapping[str, Any]]:
    """Run the calls after the last checkpoint again, and let the area see what it saw then."""
    members = Membership(area)
    if found.checkpoint is not None and MEMBERS in found.states:
        try:
            members.resume(found.states[MEMBERS])
        except (KeyError, TypeError, ValueError) as error:
            why = f"who belongs to the area is not said as it is now: {error!r}"
            raise ReplayDifferedError(why) from error

    def see(call: Snapped, tracker: Tracker) -> None:
        if call.kind == StreamKind.LIVE:
            members.update(tracker.snapshot(call.time_ns))

    return resume_tracker(rig, found, see), members.state()
