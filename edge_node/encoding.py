"""From what the edge node knows to the messages of :mod:`tipoff.v1`.

The only module of the stream that builds protobuf messages of the server's side: the hub and the
service pass their bytes on. A snapshot is encoded without anything of a subscriber in it, so that
all of them share one ``bytes`` object. Its long arrays go from NumPy's memory straight into the
wire format (:mod:`edge_node.wire`): the same bytes as protobuf's own, at a fraction of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_node.description import EndReason, GapReason, StreamKind, TimeBase
from edge_node.frames import (
    AvailabilityRule,
    AvailabilityState,
    CameraState,
    CaptureClock,
    DegradationKind,
    NodeState,
)
from edge_node.wire import floats, message, packed, varints
from tipoff.v1 import tracking_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_node.availability import AvailabilityRules
    from edge_node.description import Gap, SessionDescription, SignedHead, Team, Terms
    from edge_node.frames import Availability, CameraHealth, TrackedFrame

UPPER_TRIANGLE = (0, 1, 2, 4, 5, 8)
"""Where xx, xy, xz, yy, yz and zz lie in a flattened 3 x 3 matrix."""
NOTHING_TO_SAY = NodeState()
"""The state where nobody judges how the node does."""

_JOINTS, _COVARIANCES, _CONFIDENCE, _VIEWS = (
    pb.Snapshot.DESCRIPTOR.fields_by_name[name].number
    for name in ("joints_m", "covariance_m2", "confidence", "views")
)
_SNAPSHOT = pb.StreamTracksResponse.DESCRIPTOR.fields_by_name["snapshot"].number

_STATES = {state: pb.CameraState.Value(f"CAMERA_STATE_{state.name}") for state in CameraState}
_CLOCKS = {clock: pb.CaptureClock.Value(f"CAPTURE_CLOCK_{clock.name}") for clock in CaptureClock}
_AVAILABILITY_STATES = {
    state: pb.AvailabilityState.Value(f"AVAILABILITY_STATE_{state.name}")
    for state in AvailabilityState
}
_RULES = {
    rule: pb.AvailabilityRule.Value(f"AVAILABILITY_RULE_{rule.name}") for rule in AvailabilityRule
}
_DEGRADATIONS = {
    kind: pb.DegradationKind.Value(f"DEGRADATION_KIND_{kind.name}") for kind in DegradationKind
}


_END_REASONS = {
    EndReason.COMPLETED: pb.END_REASON_COMPLETED,
    EndReason.FAILED: pb.END_REASON_FAILED,
    EndReason.STOPPED: pb.END_REASON_STOPPED,
}


_GAP_REASONS = {
    GapReason.EXPIRED: pb.GAP_REASON_EXPIRED,
    GapReason.EPOCH_OVER: pb.GAP_REASON_EPOCH_OVER,
    GapReason.RESTARTED: pb.GAP_REASON_RESTARTED,
}


STREAM_KINDS = {
    StreamKind.LIVE: pb.STREAM_KIND_LIVE,
    StreamKind.SMOOTHED: pb.STREAM_KIND_SMOOTHED,
}
"""What each is called on the wire."""


_TIME_BASES = {
    TimeBase.UTC: pb.TIME_BASE_UTC,
    TimeBase.RECORDING: pb.TIME_BASE_RECORDING,
}


def plain(words: str) -> str:
    """Give words as messages can hold them: the path of a file may have bytes that are no UTF-8."""
    return words.encode(errors="backslashreplace").decode()


def encode_snapshot(
    frame: TrackedFrame,
    epoch: int,
    sequence: int,
    sent_ns: int,
    state: NodeState = NOTHING_TO_SAY,
) -> bytes:
    """Encode a tracked frame as the response that every subscriber is sent.

    Args:
        frame: The tracks, with the health of the cameras.
        epoch: Epoch of the writer.
        sequence: Number of the snapshot in the epoch, from 1.
        sent_ns: Now, in ns UTC.
        state: How the node does.
    """
    tracks = frame.snapshot
    head = pb.Snapshot(
        epoch=epoch,
        sequence=sequence,
        time_ns=frame.time_ns,
        sent_ns=sent_ns,
        track_ids=tracks.ids.tolist(),
    )
    tail = pb.Snapshot(
        cameras=[build_camera(health) for health in frame.cameras],
        availability=_availability(state),
        degradations=build_degradations(state),
    )
    return message(
        _SNAPSHOT,
        (
            head.SerializeToString(),
            *packed(_JOINTS, floats(tracks.joints_m)),
            *packed(_COVARIANCES, floats(_upper_triangles(tracks.covariance_m2))),
            *packed(_CONFIDENCE, floats(tracks.confidence)),
            *packed(_VIEWS, varints(tracks.views)),
            tail.SerializeToString(),
        ),
    )


def _upper_triangles(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return matrices.reshape(-1, 9)[:, UPPER_TRIANGLE]


def build_camera(health: CameraHealth) -> pb.CameraHealth:
    """Build what is said of a camera."""
    return pb.CameraHealth(
        name=health.name,
        state=_STATES[health.state],
        frames=health.frames,
        dropped_frames=health.dropped,
        last_capture_time_ns=health.last_capture_time_ns,
        detail=plain(health.detail),
        clock=_CLOCKS[health.clock],
        clock_jitter_ns=health.clock_jitter_ns,
        left_out=health.left_out,
    )


def _availability(state: NodeState) -> pb.Availability | None:
    return None if state.availability is None else build_availability(state.availability)


def build_availability(availability: Availability) -> pb.Availability:
    """Build what is said of the availability for officials."""
    return pb.Availability(
        state=_AVAILABILITY_STATES[availability.state],
        failed=[_RULES[rule] for rule in availability.failed],
        least_views=availability.least_views,
        std_p95_m=availability.std_p95_m,
        snapshot_age_ns=availability.snapshot_age_ns,
        unexplained_cameras=availability.unexplained_cameras,
        detail=plain(availability.detail),
    )


def build_degradations(state: NodeState) -> list[pb.Degradation]:
    """Build what is said of everything that a node does less well than it should."""
    return [
        pb.Degradation(kind=_DEGRADATIONS[one.kind], detail=plain(one.detail))
        for one in state.degradations
    ]


def build_journal_head(head: SignedHead) -> pb.JournalHead:
    """Build what is said of the journal's newest signed head."""
    return pb.JournalHead(
        record=head.record, hash=head.hash, signed_ns=head.signed_ns, signature=head.signature
    )


def encode_heartbeat(
    epoch: int, newest: int, sent_ns: int, state: NodeState, head: SignedHead | None
) -> bytes:
    """Encode a sign of life, for all subscribers of a stream.

    Args:
        epoch: Epoch of the writer.
        newest: Newest sequence of the stream in it; 0 before the first.
        sent_ns: Now, in ns UTC.
        state: How the node does.
        head: Newest signed head of the journal; None where there is none.
    """
    heartbeat = pb.Heartbeat(
        epoch=epoch,
        newest_sequence=newest,
        sent_ns=sent_ns,
        availability=_availability(state),
        degradations=build_degradations(state),
        journal_head=None if head is None else build_journal_head(head),
    )
    return pb.StreamTracksResponse(heartbeat=heartbeat).SerializeToString()


def encode_skipped(first: int, last: int) -> bytes:
    """Encode what a decimated stream left out, to be put behind a snapshot's bytes.

    Two encoded messages of one type, one behind the other, are their merge: that is how protobuf
    is defined. So the shared bytes stay as they are.
    """
    skipped = pb.SequenceRange(first=first, last=last)
    return pb.StreamTracksResponse(skipped=skipped).SerializeToString()


def encode_gap(gap: Gap) -> bytes:
    """Encode a gap."""
    message = pb.Gap(
        epoch=gap.epoch,
        first=gap.first,
        last=gap.last,
        reason=_GAP_REASONS[gap.reason],
        from_time_ns=gap.from_time_ns,
        to_time_ns=gap.to_time_ns,
        next_epoch=gap.next_epoch,
    )
    return pb.StreamTracksResponse(gap=message).SerializeToString()


def encode_end(reason: EndReason, detail: str, epoch: int, last_sequence: int) -> bytes:
    """Encode the session's end."""
    end = pb.End(
        reason=_END_REASONS[reason],
        detail=plain(detail),
        epoch=epoch,
        last_sequence=last_sequence,
    )
    return pb.StreamTracksResponse(end=end).SerializeToString()


def build_header(
    description: SessionDescription, oldest: int, newest: int, terms: Terms
) -> pb.Header:
    """Build the header of a stream that opens now.

    Args:
        description: What does not change.
        oldest: Oldest sequence held; 0 where none is.
        newest: Newest sequence held; 0 where none is.
        terms: What server and client owe each other.
    """
    return pb.Header(
        session=description.session,
        epoch=description.epoch,
        skeleton=pb.Skeleton(
            name=description.skeleton_name,
            joints=description.joints,
            edges=[pb.Edge(from_joint=a, to_joint=b) for a, b in description.edges],
        ),
        conventions=pb.Conventions(
            length_unit="m",
            world_frame=description.world_frame,
            time_base=_TIME_BASES[description.time_base],
        ),
        rig_digest=description.rig_digest,
        cameras=description.cameras,
        models=[pb.Model(name=name, digest=digest) for name, digest in description.models],
        build=description.build,
        nominal_rate_hz=description.nominal_rate_hz,
        oldest_sequence=oldest,
        newest_sequence=newest,
        acknowledge_within_ns=terms.acknowledge_within_ns,
        max_lag_ns=terms.max_lag_ns,
        heartbeat_every_ns=terms.heartbeat_every_ns,
        kind=STREAM_KINDS[description.kind],
        lag_ns=description.lag_ns,
        availability_rules=_rules(description.availability_rules),
        journal_public_key=description.journal_public_key,
        node=description.node,
        replay=description.replay,
        roster=[_team(team) for team in description.roster],
    )


def _team(team: Team) -> pb.Team:
    players = [pb.Player(number=player.number, name=player.name) for player in team.players]
    return pb.Team(name=team.name, players=players)


def _rules(rules: AvailabilityRules | None) -> pb.AvailabilityRules | None:
    if rules is None:
        return None
    return pb.AvailabilityRules(
        window_ns=rules.window_ns,
        min_views=rules.min_views,
        max_std_m=rules.max_std_m,
        max_snapshot_age_ns=rules.max_snapshot_age_ns,
        off_after_ns=rules.off_after_ns,
    )
