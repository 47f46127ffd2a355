"""Proving a journal's signatures: its heads, its keys, and that no epoch goes without.

A node stores a head with the first commit of each epoch, then one a second of the clock and one a
second of play (:mod:`signing`), then one of the last
record when it ends well. So an epoch that holds more than its beginning and no head, or much play
behind its last one, was not written by a node; what an intruder appended while the node was down
would else be vouched for by the heads that the node signs after its next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_node.journal.codec import Kind
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.verdict import Found, Unsigned

if TYPE_CHECKING:
    from edge_node.journal.chain import Record
    from edge_node.journal.entries import Opened
    from edge_node.journal.heads import SignedHead, Tip
    from edge_node.journal.reading import JournalReader
    from edge_node.journal.verdict import Verdict, VerifyOptions

UNSIGNED_NS = 10_000_000_000
"""Play behind an epoch's last head that no node leaves: ten times what it does where it is
killed."""
PAUSE_NS = 2_000_000_000
"""What a step from one live snapshot to the next counts for as play, at most. Behind a disk that
hung, a node writes its backlog and then the present within the second that it needs no head for."""


@dataclass(slots=True)
class _Epoch:
    """An epoch as far as it was walked."""

    number: int
    first: int
    key: bytes
    begins: bool
    """Whether its first record is here; else it was pruned."""
    last: int = 0
    signed: int = 0
    """Newest record of it that a proved head names; 0: none."""
    behind_ns: int = 0
    """Play behind that: the steps from one live snapshot to the next."""
    last_ns: int | None = None
    """Time of the last live snapshot behind it; None: there is none."""

    def sign(self, record: int) -> None:
        """Take a proved head of the last record."""
        self.signed, self.behind_ns, self.last_ns = record, 0, None

    def play(self, time_ns: int) -> None:
        """Take a live snapshot that no head covers yet."""
        if self.last_ns is not None:
            self.behind_ns += min(abs(time_ns - self.last_ns), PAUSE_NS)
        self.last_ns = time_ns


class Signatures:
    """Compares signed heads with the chain as it is walked.

    Args:
        verdict: Told what is proved and found.
        reader: Of the journal.
        options: The given head and keys.
        before: What the journal goes on from: where it was pruned, its head may be there yet.
    """

    def __init__(
        self, verdict: Verdict, reader: JournalReader, options: VerifyOptions, before: Tip
    ) -> None:
        self._verdict, self._options, self._before = verdict, options, before
        self._epoch: _Epoch | None = None
        self._changed = False
        """Whether a stored head was found to differ, or none can be read: what else lacks heads
        says nothing more."""
        self._wanted: dict[int, list[tuple[SignedHead, bool]]] = {}
        try:
            heads = [(head, False) for head in reader.heads()]
        except JournalDamagedError as error:
            heads, self._changed = [], True
            self._find(verdict.first, error.message)
        if reader.up_to is not None:
            # What was signed since is of records that are not walked.
            heads = [(head, given) for head, given in heads if head.record <= reader.up_to]
        if options.head is not None:
            heads.append((options.head, True))
        for head, given in heads:
            self._wanted.setdefault(head.record, []).append((head, given))

    def open(self, record: Record, opened: Opened) -> None:
        """Take the beginning of a file, before :meth:`take`."""
        before = self._epoch
        if opened.begins_epoch or before is None:
            self._close_epoch()
            if before is not None and record.epoch <= before.number:
                what = f"record {record.record} begins epoch {record.epoch} behind {before.number}"
                self._find(record.record, what)
            key = opened.public_key
            self._epoch = _Epoch(record.epoch, record.record, key, opened.begins_epoch)
            if before is None and record.record == self._before.record + 1:
                # Of the epoch before a pruned journal's first nothing is known but the given key.
                own = None if opened.begins_epoch else key
                self._compare(self._before.record, self._before.hash, own)
            if not self._is_given(key):
                what = f"epoch {record.epoch} names another key than the given one: {key.hex()}"
                self._find(record.record, what)
        elif opened.public_key != before.key:
            what = f"record {record.record} names another key than the beginning of its epoch"
            self._find(record.record, what)

    def take(self, record: Record, digest: bytes) -> None:
        """Compare a point of the chain with the heads that name it."""
        epoch = self._epoch
        if epoch is None or epoch.number != record.epoch:
            what = f"record {record.record} of epoch {record.epoch} does not begin one"
            self._find(record.record, what)
            # Only its beginning names a key.
            epoch = self._epoch = _Epoch(record.epoch, record.record, b"", begins=True)
        epoch.last = record.record
        if self._compare(record.record, digest, epoch.key):
            epoch.sign(record.record)
        elif record.kind == Kind.LIVE:
            epoch.play(record.time_ns)

    def finish(self, *, whole: bool) -> None:
        """Tell the heads that name no record of the chain, and what no head covers.

        Args:
            whole: Whether the chain was walked to its end.
        """
        verdict = self._verdict
        if not whole:
            return
        self._close_epoch()
        for record, heads in sorted(self._wanted.items()):
            if record > verdict.last:
                what = f"record {record} was signed, and the journal ends with {verdict.last}"
                self._find(verdict.last + 1, what)
            elif any(given for _, given in heads):
                what = f"the given head names record {record}, and the journal begins later"
                self._find(record, f"{what}, with {verdict.first}: it was pruned")
        if self._options.public_keys and not verdict.heads and verdict.holds:
            self._find(verdict.first, "it holds no signed head: nothing in it is proved by a key")

    def _compare(self, record: int, digest: bytes, key: bytes | None) -> bool:
        """Compare the heads that name a record; give whether one was proved."""
        proved = False
        for head, given in self._wanted.pop(record, ()):
            if not given and head.public_key == key and not self._is_given(key):
                continue  # What is wrong was told at the epoch's beginning.
            what = self._wrong(head, digest, key)
            if not what:
                proved = True
                self._prove(head)
            elif given or not self._changed:
                name = "the given head" if given else "the head"
                self._find(self._verdict.head_record + 1, f"{name} of record {record} {what}")
            # The heads behind a record that was changed all differ; the first says where.
            self._changed = self._changed or (bool(what) and not given and head.hash != digest)
        return proved

    def _prove(self, head: SignedHead) -> None:
        self._verdict.heads += 1
        if head.record >= self._verdict.head_record:
            self._verdict.head_record, self._verdict.head_ns = head.record, head.signed_ns

    def _wrong(self, head: SignedHead, digest: bytes, key: bytes | None) -> str:
        """Say what is wrong with a head; empty where nothing is."""
        if not head.holds or head.session != self._verdict.session:
            return "is not signed by the key that it names, for this session"
        if not self._is_given(head.public_key):
            return "is signed with another key than the given one"
        if key is not None and head.public_key != key:
            return "is signed with a key that its epoch does not name"
        if head.hash != digest:
            since = self._verdict.head_record + 1
            return f"has another hash: one of the records {since} to {head.record} was changed"
        return ""

    def _is_given(self, key: bytes) -> bool:
        return not self._options.public_keys or key in self._options.public_keys

    def _close_epoch(self) -> None:
        """Say what of an epoch no head of its own covers."""
        epoch = self._epoch
        if epoch is None or epoch.signed == epoch.last:
            return
        first = max(epoch.signed + 1, epoch.first)
        behind = Unsigned(epoch.number, first, epoch.last, epoch.behind_ns)
        self._verdict.unsigned.append(behind)
        if self._changed or not self._is_given(epoch.key):
            return  # That was told, and says more.
        records = f"records {first} to {epoch.last} of epoch {epoch.number}"
        if not epoch.signed and epoch.begins and epoch.last > epoch.first:
            self._find(first, f"{records} have no signed head: nobody can prove who wrote them")
        elif behind.play_ns > UNSIGNED_NS:
            what = f"{records}, {behind.play_ns / 1e9:.1f} s of play, are signed by no head"
            self._find(first, f"{what}: a node signs one every second")

    def _find(self, record: int, what: str) -> None:
        self._verdict.found.append(Found(record, what))
