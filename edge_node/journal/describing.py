"""From the facts of a session to the header of its streams, live and replayed alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_node.availability import AvailabilityRules
from edge_node.description import Player, SessionDescription, StreamKind, Team, TimeBase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_node.journal.facts import SessionFacts

RULES = "availability_rules"
"""Where the rules stand in the facts' notes."""
ROSTER = "roster"
"""Where the teams stand in the facts' notes."""


def header_notes(rules: AvailabilityRules, roster: Sequence[Team]) -> dict[str, Any]:
    """Give what the facts hold beside, so that a replay's header says what the game's did."""
    return {RULES: asdict(rules), ROSTER: [asdict(team) for team in roster]}


def _team(noted: Mapping[str, Any]) -> Team:
    return Team(noted["name"], tuple(Player(**player) for player in noted["players"]))


def describe(
    facts: SessionFacts,
    epoch: int,
    kind: StreamKind,
    public_key: bytes,
    *,
    replay: bool = False,
) -> SessionDescription:
    """Say what the header of a stream says.

    Args:
        facts: What makes the snapshots.
        epoch: The writer's.
        kind: Which of the streams.
        public_key: Whose signature the journal's heads bear.
        replay: Whether it is a past game.
    """
    skeleton = facts.tracker.skeleton
    rules = facts.notes.get(RULES)
    smoothed = kind is StreamKind.SMOOTHED
    return SessionDescription(
        session=facts.session,
        epoch=epoch,
        skeleton_name=skeleton.name,
        joints=skeleton.joints,
        edges=skeleton.edges,
        cameras=facts.rig.names,
        rig_digest=f"sha256:{facts.rig.digest()}",
        models=facts.models,
        build=f"tipoff {facts.build.version}",
        nominal_rate_hz=facts.rate_hz,
        world_frame=facts.world_frame,
        time_base=TimeBase(facts.time_base),
        kind=kind,
        lag_ns=round(facts.tracker.lag_ms * 1e6) if smoothed else 0,
        availability_rules=None if rules is None else AvailabilityRules(**rules),
        journal_public_key=public_key,
        node=facts.node,
        replay=replay,
        roster=tuple(_team(noted) for noted in facts.notes.get(ROSTER, ())),
    )
