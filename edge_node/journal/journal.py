"""The journal as its writer sees it.

    journal = Journal.open(folder, facts, key, options)
    tracker = resume_tracker(rig, journal.recovered) if journal.resumes else Tracker(rig)
    journal.commit(entries)     # durable on return; only then is anything sent

Every opening takes the next epoch and a new file; a full file is followed by another one at a
checkpoint, so that whatever is kept can be replayed. Files are prepared, folded, closed and pruned
by a thread of the journal's own.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from edge_node.journal.carried import lower_carried
from edge_node.journal.chain import Record, first_hash, link, session_id
from edge_node.journal.codec import STREAMS, encode
from edge_node.journal.entries import Checkpointed, Ended, Opened, Snapped
from edge_node.journal.errors import JournalError, JournalFullError
from edge_node.journal.folder import Place, last_epoch, places, sync_folder, writing
from edge_node.journal.heads import Tip
from edge_node.journal.keeping import Keeper, KeepOptions
from edge_node.journal.mark import Mark, Marked, read_mark
from edge_node.journal.recovery import recover
from edge_node.journal.segment import Beginning, Linked, SegmentWriter, create
from edge_node.journal.signing import SIGN_EVERY_NS, Signer
from edge_node.journal.spare import Spare
from edge_node.utc import utc_ns
from tipoff.errors import ConflictError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_node.journal.codec import Encoded
    from edge_node.journal.entries import Entry
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.gathering import Recovery
    from edge_node.journal.heads import SignedHead
    from edge_node.journal.keys import NodeKey

SEGMENT_BYTES = 64 * 1024 * 1024
CHECK_BYTES = 512 * 1024 * 1024
RECORD_OVERHEAD_BYTES = 160
"""What a record takes beside its payload, about."""
FREE_BYTES = 16 * 1024 * 1024
"""With less than this left a write that fails is taken for a full disk."""
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
HEAD_WITHIN_S = 0.05
"""How long whoever asks for the head waits for a commit."""
CLOSE_WITHIN_S = 1.0
"""How long a commit that does not return is waited for at the end."""
CLOSE_FILES_WITHIN_S = 5.0
"""How long the disk is waited for after it."""
LATE_ROLL = 2
"""How many times its size a file may grow while no checkpoint comes."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How a journal is kept."""

    segment_bytes: int = SEGMENT_BYTES
    """Size at which a file is followed by the next."""
    check_bytes: int = CHECK_BYTES
    """How much of the chain's end is checked when it is opened, at least."""
    keep: KeepOptions = field(default_factory=KeepOptions)
    """For how long files are kept."""
    sign_every_ns: int = SIGN_EVERY_NS
    """How often the head is signed at most, but for a second of play."""
    max_pages: int | None = None
    """Most pages of 4096 bytes in a file; None: as many as the disk holds."""
    clock_ns: Callable[[], int] = utc_ns
    """Gives now, ns UTC."""


class Journal:
    """Appends to a session's journal. Any thread may call any method; commits take turns.

    Made by :meth:`open`.
    """

    def __init__(
        self,
        folder: Path,
        facts: SessionFacts,
        key: NodeKey,
        options: JournalOptions,
        recovered: Recovery | None,
        held: ExitStack,
    ) -> None:
        self.folder, self.facts, self.options = folder, facts, options
        self.recovered = recovered
        """What was there, until :meth:`forget`; None: nothing."""
        marked = read_mark(folder)
        known = marked.epoch if isinstance(marked, Marked) else 0
        self.epoch = max(last_epoch(folder), recovered.epoch if recovered else 0, known) + 1
        """Epoch of this writer."""
        self._key, self._held = key, held
        self._signer = Signer(key, facts.session, options.sign_every_ns, options.clock_ns)
        self._session = session_id(facts.session)
        self._tip = recovered.tip if recovered else Tip(0, first_hash(facts.session))
        self._sequences = dict.fromkeys(STREAMS, 0)
        self._lock = threading.Lock()
        self._bytes = 0
        self._closed = self._ended = False
        lower_carried(folder, self._tip.record)
        self._continued = encode(Opened(facts, key.public, continues=True, begins_epoch=False))
        """How every file but an epoch's first begins."""
        self._mark, self._writer = self._begin_epoch()
        self._spare = Spare(folder, options.max_pages)
        self._keeper = Keeper(folder, options.keep, self._mark, self._spare)
        self._keeper.written(self._writer.path, 0)
        self._keeper.start()

    @classmethod
    def open(
        cls,
        folder: Path,
        facts: SessionFacts,
        key: NodeKey,
        options: JournalOptions | None = None,
    ) -> Journal:
        """Open a session's journal, recover what is there, and take the next epoch.

        Args:
            folder: The session's folder; made where there is none.
            facts: What makes the snapshots from now on.
            key: Signs the heads.
            options: How it is kept.

        Raises:
            JournalBusyError: Another process writes it.
            ConflictError: The folder is another session's, a later version wrote it, or the session
                has ended.
            JournalError: The disk takes nothing, or is full.
        """
        options = options or JournalOptions()
        with ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)
                held.enter_context(writing(folder))
                found = recover(folder, facts.session, options.check_bytes)
                if found is not None:
                    why_not = _why_not(found, facts)
                    found = replace(found, resumable=not why_not, why_not=why_not)
                journal = cls(folder, facts, key, options, found, held)
            except (OSError, sqlite3.Error) as error:
                raise _refused(error, folder) from error
            journal._held = held.pop_all()
            return journal

    @property
    def resumes(self) -> bool:
        """Whether the tracker is to go on with what it knew: by `resuming.resume_tracker`."""
        return self.recovered is not None and self.recovered.resumable

    def forget(self) -> None:
        """Let go of the calls and messages that were recovered, once a session goes on from them.

        Five minutes of two streams are hundreds of megabytes. The rest of what was found stays.
        """
        if self.recovered is not None:
            self.recovered = replace(self.recovered, checkpoint=None, calls=(), messages={})

    @property
    def tip(self) -> Tip:
        """The newest durable record."""
        return self._tip

    def commit(self, entries: Sequence[Entry]) -> None:
        """Make entries durable in one transaction: all or none, on disk on return.

        Args:
            entries: In the order in which they happened.

        Raises:
            JournalFullError: The disk is full; nothing was written.
            JournalError: The disk took nothing. The same call may be repeated.
            InternalError: A sequence is out of turn, or the journal is at its end.
        """
        if not entries:
            return
        encoded = [encode(entry) for entry in entries]
        with self._lock:
            sequences = self._next_sequences(entries)
            try:
                full = self._is_full(entries)
                tip = self._append_to_next(encoded) if full else self._append(encoded)
            except (OSError, sqlite3.Error) as error:
                self._keeper.refused()
                raise _refused(error, self.folder) from error
            self._signer.saved(entries)
            self._sequences = sequences
            self._ended = any(isinstance(entry, Ended) for entry in entries)
            self._advance(tip, sum(len(one.payload) for one in encoded), len(encoded))

    def head(self) -> SignedHead:
        """Give the newest record, signed: anew where the last signature is old enough.

        Behind a commit that does not return nobody waits: then it is the head that was given last.
        """
        if self._lock.acquire(timeout=HEAD_WITHIN_S):
            try:
                return self._signer.head(self._tip)
            finally:
                self._lock.release()
        return self._signer.newest(self._tip)

    def carried_up_to(self, record: int) -> None:
        """Say that records up to this one have been carried up and may go when their time comes."""
        self._keeper.carried_up_to(record)

    def close(self) -> None:
        """Write the last head and close the files; a second call does nothing.

        Behind a disk that does not answer the files are left as they are: whoever opens them next
        finds what was acknowledged. The journal stays locked while anything may still be written.
        """
        if not self._lock.acquire(timeout=CLOSE_WITHIN_S):
            log.error("the journal is left open: its disk does not answer", path=str(self.folder))
            return
        try:
            if self._closed:
                return
            self._closed = True
        finally:
            self._lock.release()
        closing = threading.Thread(target=self._close_files, name="journal closing", daemon=True)
        closing.start()
        closing.join(CLOSE_FILES_WITHIN_S)
        if closing.is_alive():
            log.error("the journal is left open: its disk does not answer", path=str(self.folder))

    def _close_files(self) -> None:
        with self._lock:
            try:
                self._writer.append((), self._signer.to_save(self._tip, last=True))
            except sqlite3.Error as error:
                log.warning("the last head of the journal was not written", reason=str(error))
            try:
                self._writer.close()
            except sqlite3.Error as error:
                log.warning("the journal's newest file was not closed", reason=str(error))
        if self._keeper.close(self._writer.path):
            self._held.close()
        else:
            log.error("the journal stays locked: its files are still looked after")

    def _next_sequences(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Check that snapshots come in turn and that nothing comes after the end."""
        if self._closed or self._ended:
            raise InternalError("an entry was given to a journal that has ended; report this")
        sequences = dict(self._sequences)
        for entry in entries:
            if isinstance(entry, Opened):
                raise InternalError("files of a journal are opened by itself; report this")
            if not isinstance(entry, Snapped):
                continue
            if entry.sequence != sequences[entry.kind] + 1:
                raise InternalError(
                    f"the {entry.kind} snapshot {entry.sequence} was given to the journal after"
                    f" {sequences[entry.kind]} of epoch {self.epoch}; report this"
                )
            sequences[entry.kind] = entry.sequence
        return sequences

    def _link(self, encoded: Sequence[Encoded]) -> tuple[list[Linked], Tip]:
        tip = self._tip
        linked = []
        for one in encoded:
            record = Record(
                tip.record + 1,
                self.epoch,
                int(one.kind),
                int(one.codec),
                one.sequence,
                one.time_ns,
                one.raw_bytes,
                one.payload,
            )
            tip = Tip(record.record, link(tip.hash, record, self._session))
            linked.append(Linked(record, tip.hash))
        return linked, tip

    def _append(self, encoded: Sequence[Encoded]) -> Tip:
        linked, tip = self._link(encoded)
        self._writer.append(linked, self._signer.to_save(self._tip))
        return tip

    def _advance(self, tip: Tip, size: int, records: int) -> None:
        self._tip = tip
        self._bytes += size + records * RECORD_OVERHEAD_BYTES
        self._mark.advance(tip)
        self._keeper.written(self._writer.path, size + records * RECORD_OVERHEAD_BYTES)

    def _is_full(self, entries: Sequence[Entry]) -> bool:
        if self._bytes < self.options.segment_bytes:
            return False
        late = self._bytes >= LATE_ROLL * self.options.segment_bytes
        return late or any(isinstance(entry, Checkpointed) for entry in entries)

    def _append_to_next(self, encoded: Sequence[Encoded]) -> Tip:
        """Go on in a new file, whose first commit this is; the old one is closed by the keeper."""
        linked, tip = self._link([self._continued, *encoded])
        path = self.folder / Place(linked[0].record.record, self.epoch, 0).name
        beginning = Beginning(self.facts.session, self._tip)
        writer = self._spare.begin(path, beginning, linked, self._signer.to_save(self._tip))
        self._keeper.finished(self._writer)
        self._writer = writer
        self._bytes = 0
        return tip

    def _begin_epoch(self) -> tuple[Mark, SegmentWriter]:
        """Take the epoch, by the mark and by a file, whose first record tells what was lost."""
        before = self._tip
        oldest = next((place.first for place in places(self.folder)), before.record + 1)
        damages = self.recovered.damages if self.recovered else ()
        cut = "; ".join(damage.reason for damage in damages)
        linked, tip = self._link(
            [encode(Opened(self.facts, self._key.public, self.resumes, begins_epoch=True, cut=cut))]
        )
        path = self.folder / Place(tip.record, self.epoch, 0).name
        # A file is never without a mark. But one that knows of more than is there must not say less
        # before the loss is written down: until then the next start would not know of it.
        mark = None if damages else Mark(self.folder, Marked(oldest, before, self.epoch))
        try:
            create(path, Beginning(self.facts.session, before), linked)
            writer = SegmentWriter(path, self.options.max_pages)
            mark = mark or Mark(self.folder, Marked(oldest, tip, self.epoch))
        except BaseException:
            if mark is not None:
                mark.close()
            raise
        self._held.callback(mark.close)
        self._tip = tip
        mark.advance(tip)
        return mark, writer


def _why_not(found: Recovery, facts: SessionFacts) -> str:
    """Say why the tracker cannot go on with what it knew; empty where it can."""
    if found.ended is not None:
        raise ConflictError(
            f"session {facts.session!r} has ended ({found.ended.reason}); give the next game a"
            " name of its own",
            session=facts.session,
        )
    if found.facts is None:
        return "nothing of it is left"
    return found.facts.differs(facts)


def _refused(error: Exception, folder: Path) -> JournalError:
    """Tell a full disk from another failure."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = FREE_BYTES
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL_ERRORS
    if full or free < FREE_BYTES:
        return JournalFullError(
            f"the disk of {folder} is full ({error}); nothing was written. Make room, for example"
            " by `tipoff journal prune`, and it goes on by itself",
            path=str(folder),
        )
    return JournalError(
        f"the journal in {folder} cannot be written: {error}; it is tried again",
        path=str(folder),
    )
