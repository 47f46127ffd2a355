"""What a subscriber is given: snapshots and what surrounds them, as frozen dataclasses.

:mod:`tipoff.reading` makes them from the messages of :mod:`tipoff.v1`, and :mod:`tipoff.tables`
turns them into tables.

World frame, metres, nanoseconds; T tracks, J joints; what is not known is NaN. Arrays cannot be
written to, so that a snapshot may be shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints and the bones between them."""

    name: str
    """Such as ``coco17``."""
    joints: tuple[str, ...]
    """Names of the J joints, in the order of every joint array."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of joint indices that a bone connects."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that took part in the tracking."""

    name: str
    """Its name in the model repository."""
    digest: str
    """``sha256:<hex>`` of its weights."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a stream holds and how to read it."""

    session: str
    """The session that is followed."""
    epoch: int
    """Fencing number of whoever writes the session; sequences count within it."""
    skeleton: Skeleton
    """Joints and bones."""
    length_unit: str
    """Unit of positions: ``m``."""
    world_frame: str
    """The world frame in words."""
    time_base: str
    """``utc``: times are ns since 1970; ``recording``: since the recording's first frame."""
    rig_digest: str
    """``sha256:<hex>`` of the cameras' calibration."""
    cameras: tuple[str, ...]
    """Names of the rig's cameras, in its order."""
    models: tuple[Model, ...]
    """Models that took part."""
    build: str
    """Software that made the tracks."""
    nominal_rate_hz: float
    """Snapshots per second of ``time_ns``; 0 where it is not known."""
    oldest_sequence: int
    """Oldest sequence held when the stream opened; 0 where none was."""
    newest_sequence: int
    """Newest sequence held when the stream opened; 0 where none was."""
    acknowledge_within_s: float
    """Longest silence of a client that the server bears."""
    max_lag_s: float = 0.0
    """Longest time from sending to acknowledgement that the server bears; 0: it does not say."""
    heartbeat_every_s: float = 0.0
    """Longest time between two messages of the server; 0: it does not say."""
    kind: str = "live"
    """Which of the session's streams: ``live`` or ``smoothed``."""
    lag_s: float = 0.0
    """How much later than its time a smoothed snapshot rests on observations; 0 live."""
    availability_rules: AvailabilityRules | None = None
    """What the availability is decided by; None where nobody decides it."""
    journal_public_key: bytes = b""
    """Ed25519 key that the journal's heads are signed with; empty without a journal."""
    node: str = ""
    """Name of the node that serves."""
    replay: bool = False
    """Whether this is a past game, served again."""
    roster: tuple[Team, ...] = ()
    """Who may play, as the session declares it; which track is which player it does not say."""


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
class AvailabilityRules:
    """What the availability for officials is decided by."""

    window_s: float
    """Time that everything is looked at over."""
    min_views: int
    """Fewest cameras that must see every person on court."""
    max_std_m: float
    """Highest 95th percentile of people's largest joint standard deviation."""
    max_snapshot_age_s: float
    """Highest age of a snapshot when it is sent."""
    off_after_s: float
    """Off after so long without a snapshot."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether officials may rely on a stream, and the values that decided."""

    state: str
    """``available``, ``degraded``, ``off``, or ``unspecified``, which is not available."""
    failed: tuple[str, ...] = ()
    """Rules that failed: ``views``, ``std``, ``age``, ``cameras``, ``unspecified``."""
    least_views: int | None = None
    """Fewest cameras behind a person over the window; None: there was nobody."""
    std_p95_m: float | None = None
    """95th percentile of people's largest joint standard deviation; None: there was nobody."""
    snapshot_age_s: float | None = None
    """Age of the newest snapshot; None: there is none."""
    unexplained_cameras: tuple[str, ...] = ()
    """Cameras that fail without an explanation."""
    detail: str = ""
    """Why, in words."""

    @property
    def available(self) -> bool:
        """Whether officials may rely on it."""
        return self.state == "available"


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that the node does less well than it should."""

    kind: str
    """``fewer_detections``, ``fewer_poses``, ``lower_rate``, ``journal_slow``,
    ``journal_failed``, or ``unspecified``."""
    detail: str
    """Why and by how much, in words."""


@dataclass(frozen=True, slots=True)
class JournalHead:
    """A point of the server's journal, signed."""

    record: int
    """Number of the newest record, from 1."""
    hash: bytes
    """Its hash, 32 bytes."""
    signed_ns: int
    """When it was signed, in ns UTC."""
    signature: bytes
    """Ed25519 signature, 64 bytes."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The server is there, and this is how things stand."""

    epoch: int
    """Epoch of the writer."""
    newest_sequence: int
    """Newest sequence of the stream in it; 0: none yet."""
    sent_ns: int
    """When it was sent, in ns UTC."""
    availability: Availability | None
    """For officials; None where nobody decides it."""
    degradations: tuple[Degradation, ...]
    """What the node does less well than it should."""
    journal_head: JournalHead | None
    """Newest signed head of the journal; None where there is none."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How a camera does."""

    name: str
    """Its name in the rig."""
    state: str
    """``waiting``, ``live``, ``ended``, ``failed``, ``frozen``, ``black``, ``duplicated``,
    ``disconnected``, ``late``, ``swapped``, ``moved``, ``blind``, or ``unspecified``."""
    frames: int
    """Frames taken from it so far."""
    dropped_frames: int
    """Frames of it that were dropped so far."""
    last_capture_time_ns: int | None
    """Capture time of its newest frame; None where it has given none."""
    detail: str
    """What is wrong, in words; empty where nothing is."""
    clock: str = "unspecified"
    """What its capture times rest on: ``sender``, ``arrival``, ``recording``."""
    clock_jitter_ns: int = 0
    """Standard deviation of its capture times around an even beat; 0: not known."""
    left_out: bool = False
    """Whether its frames are left out of the tracking now: withheld or, of a camera that is late,
    swapped or moved, counted for little."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Snapshots that cannot be had."""

    epoch: int
    """Epoch in which the sequences count."""
    first: int
    """First sequence that is missing; 0 where none is."""
    last: int | None
    """Last sequence that is missing; None where it is not known, or none is."""
    reason: str
    """``expired``: no longer held; ``epoch_over``: of an earlier epoch; ``restarted``: for a time
    there were no frames, and no sequence is missing; or ``unspecified``."""
    from_time_ns: int | None = None
    """Time of the last snapshot before it; None where it is not known."""
    to_time_ns: int | None = None
    """Time of the first snapshot behind it; None where it is not known."""
    next_epoch: int = 0
    """Epoch that goes on behind it; 0: the same."""
    skipped: tuple[int, int] | None = None
    """First and last sequence left out before it because of ``max_rate_hz``."""

    @property
    def missing(self) -> int | None:
        """How many snapshots are missing; None where it is not known."""
        if self.reason == "restarted":
            return 0
        return None if self.last is None else self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All tracks at one time."""

    epoch: int
    """Epoch in which the sequence counts."""
    sequence: int
    """Its number in the epoch, from 1."""
    time_ns: int
    """Time that the tracks belong to."""
    sent_ns: int
    """When the server first sent it, in ns UTC."""
    ids: NDArray[np.int64]
    """(T,): identities."""
    joints_m: NDArray[np.float64]
    """(T, J, 3): positions."""
    covariance_m2: NDArray[np.float64]
    """(T, J, 3, 3): their covariances."""
    confidence: NDArray[np.float32]
    """(T, J): 0 to 1."""
    views: NDArray[np.int32]
    """(T, J): cameras behind each joint, 0 where it is inferred."""
    cameras: tuple[CameraHealth, ...]
    """Health of every camera."""
    skipped: tuple[int, int] | None = None
    """First and last sequence left out before it because of ``max_rate_hz``."""
    gap_before: tuple[Gap, ...] = ()
    """What cannot be had between the snapshot before and this one."""
    availability: Availability | None = None
    """Whether officials may rely on it; None where nobody decides it."""
    degradations: tuple[Degradation, ...] = ()
    """What the node does less well than it should at this time."""

    @property
    def key(self) -> tuple[int, int]:
        """Epoch and sequence: the snapshot's place in its stream's order."""
        return self.epoch, self.sequence

    def to_numpy(self) -> NDArray[np.void]:
        """Return a structured array, a row for each track and joint; see `tipoff.tables`."""
        from tipoff.tables import to_numpy

        return to_numpy([self])

    def to_arrow(self, skeleton: Skeleton | None = None) -> pa.Table:
        """Return an Arrow table, a row for each track and joint; see `tipoff.tables`."""
        from tipoff.tables import to_arrow

        return to_arrow([self], skeleton)

    def to_pandas(self, skeleton: Skeleton | None = None) -> pd.DataFrame:
        """Return a data frame, a row for each track and joint; see `tipoff.tables`."""
        from tipoff.tables import to_pandas

        return to_pandas([self], skeleton)


@dataclass(frozen=True, slots=True)
class End:
    """The session's end."""

    reason: str
    """``completed``, ``failed``, ``stopped``, or ``unspecified``."""
    detail: str
    """Why, in words."""
    epoch: int
    """Epoch in which the last sequence counts."""
    last_sequence: int
    """Last sequence of the session; 0 where it had none."""
    skipped: tuple[int, int] | None = None
    """First and last sequence left out before it because of ``max_rate_hz``."""
    gap_before: tuple[Gap, ...] = ()
    """What cannot be had between the last snapshot given and the end."""
