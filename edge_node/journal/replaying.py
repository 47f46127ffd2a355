"""A past game, served again: the messages that were sent, byte for byte, at their own pace.

Whoever follows cannot tell it from the night of the game but for ``Header.replay``: epochs,
sequences, times, availability and signed heads are those of then, and where the node was started
again the streams end and go on with the next epoch.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_node.description import EndReason, StreamKind
from edge_node.hub import Hub
from edge_node.journal.codec import Kind, decode
from edge_node.journal.describing import describe
from edge_node.journal.entries import Ended, Opened, Snapped
from edge_node.journal.errors import JournalDamagedError
from edge_node.journal.messages import sent_in, state_of
from edge_node.journal.parts import Span, part_of
from edge_node.journal.reading import begin_again
from edge_node.ring import Held
from edge_node.server import ServerOptions, StreamServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_node.journal.chain import Record
    from edge_node.journal.heads import SignedHead
    from edge_node.journal.parts import Part
    from edge_node.journal.reading import JournalReader

PAST_SNAPSHOTS = 18_000
"""Snapshots of earlier epochs that a stream can be resumed from, at most."""
FINISH_WITHIN_S = 10.0
"""How long subscribers are given for what is left at the end."""
BACK_WITHIN_S = 5.0
"""How long a new epoch waits for those who followed the one before: they have to come back."""
LOOK_EVERY_S = 0.02
MOST_BEHIND = 2_000
"""Snapshots that a subscriber may be behind before a replay waits for it: far fewer than are held,
by count and by bytes."""
LOOK_EVERY = 250
"""Snapshots after which it is looked how far behind subscribers are."""
_STREAMS = {Kind.LIVE: StreamKind.LIVE, Kind.SMOOTHED: StreamKind.SMOOTHED}
_PLAYED = (Kind.OPENED, Kind.LIVE, Kind.SMOOTHED, Kind.ENDED)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a game is served again."""

    listen: str = "127.0.0.1:7400"
    """Address as host:port; port 0 takes a free one."""
    speed: float = 1.0
    """How many times as fast as it was; 0: as fast as it goes and its subscribers follow."""
    wait_for_subscribers: int = 0
    """Subscribers that are waited for before it begins."""
    linger_s: float = 0.0
    """How long to stay after its end."""
    announce: Callable[[str, str], None] = field(default=lambda _address, _session: None)
    """Told the address and the session when it can be followed."""
    span: Span = field(default_factory=Span)
    """What of it; where the node's clock was set back, the newest play of that time."""


class Replay:
    """Serves a journal's game; :meth:`stop` may be called from any thread.

    Args:
        folder: The journal's folder.
        options: How.

    Raises:
        NotFoundError: There is no journal, or it has nothing of that time.
        JournalDamagedError: It cannot be read; `tipoff verify` says more.
        JournalError: This user may not read it.
    """

    def __init__(self, folder: Path, options: ReplayOptions) -> None:
        opened = begin_again(folder, lambda reader: _open(reader, options.span))
        self._reader, heads, self._part, self._records = opened
        self._options = options
        self._stopped = threading.Event()
        self._listen = options.listen
        self._heads = iter(heads)
        self._next_head = next(self._heads, None)
        self._beginning: tuple[int, float] | None = None
        """A moment of the game, and when it was shown; what follows is paced from there."""
        self._followed = 0
        """Subscribers at the end of the epoch before."""
        self._last_ns = 0
        """Time of the newest live message."""
        self._past: dict[StreamKind, list[Held]] = {kind: [] for kind in StreamKind}
        self.snapshots = 0
        """Messages that were published."""

    def stop(self) -> None:
        """End soon, as a node that is told to go."""
        self._stopped.set()

    def run(self) -> None:
        """Serve it from its first message to its end, or until :meth:`stop`.

        Raises:
            JournalDamagedError: A record cannot be read; `tipoff verify` says more.
            JournalPrunedError: Its node pruned it before it was served.
            ConflictError: The address is taken.
        """
        records = self._records
        first = True
        while not self._stopped.is_set() and (record := records.peek()) is not None:
            opened = self._opening(record)
            hubs = self._hubs(record, opened)
            with self._serving(hubs, first=first) as server:
                first = False
                ended = self._play_epoch(record.epoch, records, hubs, server)
                if ended is not None or records.peek() is None:
                    self._finish(hubs, server, ended)
            for kind, hub in hubs.items():
                held = hub.read(hub.oldest_place, PAST_SNAPSHOTS)
                self._past[kind] = held[-PAST_SNAPSHOTS:]

    def _opening(self, record: Record) -> Opened:
        entry = decode(record)
        if not isinstance(entry, Opened):
            raise JournalDamagedError(
                f"record {record.record} does not begin an epoch; `tipoff verify` says more",
                record=record.record,
            )
        return entry

    def _hubs(self, record: Record, opened: Opened) -> dict[StreamKind, Hub]:
        epoch, first = record.epoch, self._first_sequences(record)
        try:
            return {
                kind: Hub(
                    describe(opened.facts, epoch, kind, opened.public_key, replay=True),
                    past=self._past[kind],
                    first=first.get(kind, 1),
                )
                for kind in StreamKind
            }
        except (KeyError, TypeError, ValueError) as error:
            raise JournalDamagedError(
                f"record {record.record} begins no epoch that can be served here: {error}; a later"
                " version may have written it, `tipoff verify` says more",
                record=record.record,
            ) from error

    def _first_sequences(self, opening: Record) -> dict[StreamKind, int]:
        """Give with what each stream begins: a journal that was pruned begins within an epoch."""
        first: dict[StreamKind, int] = {}
        for record in self._part.of(self._reader.records(opening.record)):
            if record.epoch != opening.epoch or len(first) == len(_STREAMS):
                break
            if record.kind in _STREAMS:
                first.setdefault(_STREAMS[Kind(record.kind)], record.sequence)
        return first

    @contextmanager
    def _serving(self, hubs: dict[StreamKind, Hub], *, first: bool) -> Iterator[StreamServer]:
        server = StreamServer(tuple(hubs.values()), ServerOptions(listen=self._listen))
        # The next epoch's server takes the port of this one, as a node that starts again does.
        self._listen = server.start()
        try:
            server.set_ready()
            if first:
                self._options.announce(self._listen, hubs[StreamKind.LIVE].description.session)
                self._wait_for_subscribers(server)
            else:
                self._wait_for_those_of_before(server)
            yield server
            self._followed = server.subscribers
        finally:
            server.stop()

    def _wait_for_subscribers(self, server: StreamServer) -> None:
        while server.subscribers < self._options.wait_for_subscribers:
            if self._stopped.wait(LOOK_EVERY_S):
                return

    def _wait_for_those_of_before(self, server: StreamServer) -> None:
        """Let who followed come back: what is over before that is lost to them."""
        until_s = time.monotonic() + BACK_WITHIN_S
        while server.subscribers < self._followed and time.monotonic() < until_s:
            if self._stopped.wait(LOOK_EVERY_S):
                return

    def _play_epoch(
        self,
        epoch: int,
        records: _Peekable,
        hubs: dict[StreamKind, Hub],
        server: StreamServer,
    ) -> Ended | None:
        """Publish an epoch's messages; give how the session ended where it does."""
        while (record := records.peek()) is not None and record.epoch == epoch:
            entry = decode(record)
            if isinstance(entry, Ended):
                return entry
            if not self._wait_for_slowest(server):
                return None
            if isinstance(entry, Snapped) and not self._publish(record, entry, hubs):
                return None
            records.take()
        return None

    def _wait_for_slowest(self, server: StreamServer) -> bool:
        """Let nobody who reads be overtaken, whatever the pace; False: it was stopped.

        One that does not read is let go for its lag, and is waited for no longer than that.
        """
        if self.snapshots % LOOK_EVERY == 0:
            while server.behind() > MOST_BEHIND:
                if self._stopped.wait(LOOK_EVERY_S):
                    return False
        return True

    def _publish(self, record: Record, entry: Snapped, hubs: dict[StreamKind, Hub]) -> bool:
        """Publish a message when it is due; False: there is no time left."""
        if entry.kind == StreamKind.LIVE and not self._wait_until(entry.time_ns):
            return False
        hub, state = hubs[StreamKind(entry.kind)], state_of(sent_in(record, entry))
        try:
            hub.publish(Held(record.epoch, entry.sequence, entry.time_ns, entry.message))
        except RuntimeError as error:
            raise JournalDamagedError(
                f"record {record.record} is out of turn: {error}; `tipoff verify` says more",
                record=record.record,
            ) from error
        hub.beat(state, self._head(record.record))
        self.snapshots += 1
        return True

    def _head(self, record: int) -> SignedHead | None:
        """Give the newest head that was signed before a record."""
        head = None
        while self._next_head is not None and self._next_head.record < record:
            head, self._next_head = self._next_head, next(self._heads, None)
        return head

    def _wait_until(self, time_ns: int) -> bool:
        """Wait until a moment of the game comes; False: the replay was stopped."""
        now_s = time.monotonic()
        # Where the node's clock was set back the times fall: from there the pace begins anew.
        if self._beginning is None or time_ns < self._last_ns:
            self._beginning = (time_ns, now_s)
        self._last_ns = time_ns
        if not self._options.speed:
            return not self._stopped.is_set()
        first_ns, began_s = self._beginning
        due_s = began_s + (time_ns - first_ns) / 1e9 / self._options.speed
        return not self._stopped.wait(max(due_s - now_s, 0.0))

    def _finish(
        self, hubs: dict[StreamKind, Hub], server: StreamServer, ended: Ended | None
    ) -> None:
        if self._stopped.is_set():
            return
        if self._options.span.to_ns is not None:
            ended = Ended(EndReason.STOPPED, "the part that was asked for ends here")
        known = {str(reason): reason for reason in EndReason}
        reason = known.get(ended.reason if ended else "", EndReason.STOPPED)
        detail = ended.detail if ended else "the journal goes no further"
        for hub in hubs.values():
            hub.end(reason, detail)
        self._stopped.wait(self._options.linger_s)
        until_s = time.monotonic() + FINISH_WITHIN_S
        while server.subscribers and time.monotonic() < until_s:
            if self._stopped.wait(LOOK_EVERY_S):
                return
        self._stopped.set()


def _open(
    reader: JournalReader, span: Span
) -> tuple[JournalReader, list[SignedHead], Part, _Peekable]:
    """Read what a replay begins with; the file that its first record is in stays open."""
    part = part_of(reader, span)
    records = part.of(reader.records(part.first))
    played = (record for record in records if record.kind in _PLAYED)
    return reader, reader.heads(), part, _Peekable(played)


class _Peekable:
    """Records, with a look at the next one."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._next = next(records, None)

    def peek(self) -> Record | None:
        """Give the next record and leave it there."""
        return self._next

    def take(self) -> None:
        """Go on to the one after it."""
        self._next = next(self._records, None)
