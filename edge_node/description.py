"""What a session's streams are, as the edge node says it: the words behind :mod:`tipoff.v1`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge_node.availability import AvailabilityRules


class EndReason(StrEnum):
    """Why a session is over."""

    COMPLETED = "completed"
    """Every camera came to its end."""
    FAILED = "failed"
    """The tracking failed."""
    STOPPED = "stopped"
    """Somebody ended it."""


class GapReason(StrEnum):
    """Why snapshots cannot be had."""

    EXPIRED = "expired"
    """They are older than the oldest held."""
    EPOCH_OVER = "epoch over"
    """They belong to an epoch that is over and no longer held."""
    RESTARTED = "restarted"
    """The writer started again: for a time there were no frames, and no sequence is missing."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Snapshots that cannot be had."""

    epoch: int
    """Epoch in which the sequences count."""
    first: int
    """First sequence that is missing; 0 where none is."""
    last: int
    """Last sequence that is missing; 0 where it is not known, or none is."""
    reason: GapReason
    """Why."""
    from_time_ns: int | None = None
    """Time of the last snapshot before it; None where it is not known."""
    to_time_ns: int | None = None
    """Time of the first snapshot behind it; None where it is not known."""
    next_epoch: int = 0
    """Epoch that goes on behind it; 0: the same."""


class StreamKind(StrEnum):
    """The streams of a session."""

    LIVE = "live"
    """Everybody now."""
    SMOOTHED = "smoothed"
    """The same times later, smoothed by what was seen after them."""


class SignedHead(Protocol):
    """A point of the journal's chain, signed; what the journal gives."""

    @property
    def record(self) -> int:
        """Number of the newest record, from 1."""

    @property
    def hash(self) -> bytes:
        """Its hash, 32 bytes."""

    @property
    def signed_ns(self) -> int:
        """When it was signed, in ns UTC."""

    @property
    def signature(self) -> bytes:
        """Ed25519 signature, 64 bytes."""


class TimeBase(StrEnum):
    """What ``time_ns`` counts from."""

    UTC = "utc"
    """Since 1970-01-01 UTC."""
    RECORDING = "recording"
    """Since the first frame of a recording that carries no wall clock."""


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody on a roster."""

    number: str
    """On the shirt: 0 and 00 are two players."""
    name: str
    """Name."""


@dataclass(frozen=True, slots=True)
class Team:
    """A team."""

    name: str
    """Name."""
    players: tuple[Player, ...]
    """Who may play."""


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """What does not change while a session is followed: the fixed part of the header."""

    session: str
    """Name of the session, not empty."""
    epoch: int
    """Fencing number of this writer, from 1."""
    skeleton_name: str
    """Name of the skeleton, such as ``coco17``."""
    joints: tuple[str, ...]
    """Names of the J joints."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of joint indices that a bone connects."""
    cameras: tuple[str, ...]
    """Names of the rig's cameras, in its order."""
    rig_digest: str
    """``sha256:<hex>`` of the calibration."""
    models: tuple[tuple[str, str], ...] = ()
    """Name and ``sha256:<hex>`` of each model that takes part."""
    build: str = ""
    """Software that makes the tracks: name, version, revision."""
    nominal_rate_hz: float = 0.0
    """Snapshots per second of ``time_ns``; 0 where it is not known."""
    world_frame: str = "metres; the calibration's own frame"
    """The world frame in words."""
    time_base: TimeBase = TimeBase.RECORDING
    """What ``time_ns`` counts from."""
    kind: StreamKind = StreamKind.LIVE
    """Which of the session's streams it is; each has a hub of its own."""
    lag_ns: int = 0
    """How much later than its own time a smoothed snapshot rests on observations; 0 live."""
    availability_rules: AvailabilityRules | None = None
    """What the availability for officials is decided by; None where nobody decides it."""
    journal_public_key: bytes = b""
    """Ed25519 key that the heads of the journal are signed with; empty without a journal."""
    node: str = ""
    """Name of the node that serves."""
    replay: bool = False
    """Whether this is a past game, served again."""
    roster: tuple[Team, ...] = ()
    """Who may play."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server and its clients owe each other, in ns."""

    acknowledge_within_ns: int
    """Longest silence of a client that the server bears."""
    max_lag_ns: int
    """Longest time from sending to acknowledgement that the server bears."""
    heartbeat_every_ns: int
    """Longest time between two messages of the server."""
