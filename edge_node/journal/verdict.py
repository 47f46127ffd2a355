"""What a verification is asked for, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.heads import SignedHead


@dataclass(frozen=True, slots=True)
class Found:
    """Something that is not as it was written."""

    record: int
    """Number of the record, or the first that may be meant."""
    what: str
    """What is wrong, in words."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Records of an epoch behind its last head: only its next heads, if any, vouch for them."""

    epoch: int
    """The epoch."""
    first: int
    """The first of them."""
    last: int
    """The last of them."""
    play_ns: int
    """From the first live snapshot among them to the last, ns; a pause counts for two seconds."""


@dataclass(slots=True)
class Verdict:
    """What was proved, and what was found."""

    session: str
    """Name of the session."""
    first: int = 0
    """Oldest record; those before were pruned where it is not 1."""
    last: int = 0
    """Newest record whose place in the chain was proved."""
    last_hash: bytes = b""
    """Its hash."""
    made_by: list[tuple[int, SessionFacts]] = field(default_factory=list)
    """For each epoch the facts: rig, models, code."""
    public_keys: list[bytes] = field(default_factory=list)
    """Keys that its epochs name."""
    vouched: bool = False
    """Whether its keys, or a head, were given from outside; else they are its own word alone."""
    heads: int = 0
    """Signed heads that were proved."""
    head_record: int = 0
    """Newest record that a proved head covers."""
    head_ns: int = 0
    """When that head was signed, ns UTC by the node's clock; 0: there is none."""
    unsigned: list[Unsigned] = field(default_factory=list)
    """What lies behind the last head of each epoch: a node that runs, or was killed, has up to a
    second there."""
    observations: int = 0
    """Calls of observe that were repeated."""
    snapshots: dict[str, int] = field(default_factory=dict)
    """Snapshots of each stream that came out bit for bit."""
    checkpoints: int = 0
    """Checkpoints that came out byte for byte."""
    replayed_from: int | None = None
    """First record that was replayed; None: nothing could be."""
    not_replayed: str = ""
    """Why something was not replayed, in words; empty where all was."""
    cuts: list[Found] = field(default_factory=list)
    """What openings found damaged and moved aside: they said so in the journal itself."""
    found: list[Found] = field(default_factory=list)
    """What is not as it was written; empty where all is."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.found


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is proved."""

    head: SignedHead | None = None
    """A head from outside, which the chain must lead to."""
    public_keys: tuple[bytes, ...] = ()
    """The keys that epochs may name and heads be signed with: the node's, and those it had before
    where it was given another; none: whichever the journal names."""
    session: str | None = None
    """Name of the session that the journal must be of; None: any."""
    replay: bool = True
    """Whether the tracker is run again."""
    report: Callable[[int], None] = field(default=lambda _records: None)
    """Told now and then how many records were read since the last time."""
