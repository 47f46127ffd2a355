"""A1 and A9 for the journal: processes that are killed, and disks that lose power.

`TIPOFF_KILLS=50 pytest tests/integration/edge_node/test_journal_kill.py` is the whole of A1.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_node.journal.codec import decode
from edge_node.journal.entries import Observed, Opened, Restarted, Snapped
from edge_node.journal.folder import SUFFIX, places
from edge_node.journal.reading import JournalReader
from edge_node.journal.spare import NAME
from edge_node.journal.verifying import verify
from tests.support.disks import build_library, watched

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("TIPOFF_KILLS", "5"))
SENT_BEFORE_KILL = (0, 60)
"""Messages that are waited for before a kill, at random."""

Sent = tuple[int, str, int, int, str]
"""Epoch, stream, sequence, time, digest."""


@dataclass
class Recorder:
    """What came out of the writers, seen from outside."""

    sent: list[Sent] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        word, *rest = line.split()
        if word == "sent":
            epoch, stream, sequence, time_ns, digest = rest
            self.sent.append((int(epoch), stream, int(sequence), int(time_ns), digest))
        elif word == "opened":
            self.epochs.append(int(rest[0]))
        elif word == "damage":
            self.damages.append(line)


class Writer:
    """A writer's process."""

    def __init__(self, folder: Path, recorder: Recorder, fault: str = "", **more: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
        self._recorder = recorder
        self._lines = 0
        self._came = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.journal_writer", str(folder), fault],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The process may have been killed within a line.
            if line.endswith("\n") and line.strip():
                with self._came:
                    self._recorder.take(line)
                    self._lines += 1
                    self._came.notify_all()
        with self._came:
            self._lines = 1 << 60
            self._came.notify_all()

    def wait_for(self, lines: int) -> None:
        """Wait until it has said so much."""
        with self._came:
            assert self._came.wait_for(lambda: self._lines >= lines, 60), "the writer is silent"

    def wait_for_its_end(self) -> None:
        """Wait until it has killed itself."""
        self.wait_for(1 << 60)

    def kill(self) -> None:
        """Kill it where it stands."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.stderr is not None
        complaint = self._process.stderr.read()
        self._thread.join()
        self._process.stderr.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert self._process.wait() == -signal.SIGKILL, complaint


@contextmanager
def writing(folder: Path, recorder: Recorder, fault: str = "", **more: str) -> Iterator[Writer]:
    """Have a writer write, and kill it."""
    writer = Writer(folder, recorder, fault, **more)
    try:
        yield writer
    finally:
        writer.kill()


def assert_nothing_lost(folder: Path, recorder: Recorder) -> None:
    """Everything that was sent is in the journal, once and in order, and comes out again."""
    numbers: dict[tuple[int, str, int], int] = {}
    contents: dict[tuple[int, str, int], tuple[int, str]] = {}
    newest: dict[int, int] = {}
    last: dict[tuple[int, str], int] = {}
    epochs = []
    for linked in JournalReader(folder).checked():
        record = linked.record
        entry = decode(record)
        assert not isinstance(entry, Restarted)
        if isinstance(entry, Opened) and entry.begins_epoch:
            epochs.append(record.epoch)
        if isinstance(entry, Observed):
            assert entry.capture_time_ns > newest.get(entry.camera, 0), "a frame came twice"
            newest[entry.camera] = entry.capture_time_ns
        if isinstance(entry, Snapped):
            # Without holes and without repetition.
            assert entry.sequence == last.get((record.epoch, entry.kind), 0) + 1
            last[record.epoch, entry.kind] = entry.sequence
            place = (record.epoch, entry.kind, entry.sequence)
            numbers[place] = record.record
            contents[place] = (entry.time_ns, entry.digest.hex())
    lost = [sent for sent in recorder.sent if sent[:3] not in numbers]
    assert lost == []
    assert all(contents[sent[:3]] == sent[3:] for sent in recorder.sent)
    order = [numbers[sent[:3]] for sent in recorder.sent]
    assert order == sorted(set(order)), "sent twice, or in another order"
    # A process that was killed before it said so has taken its epoch all the same.
    assert epochs == sorted(set(epochs))
    assert set(recorder.epochs) <= set(epochs)
    verdict = verify(folder)
    assert verdict.found == []
    assert verdict.snapshots["live"] == len([1 for _, kind, _ in numbers if kind == "live"])


@pytest.mark.timeout(1800)
def test_a_killed_writer_loses_nothing_that_it_sent(tmp_path: Path) -> None:
    recorder, chance = Recorder(), random.Random(11)
    for _ in range(KILLS):
        with writing(tmp_path / "journal", recorder) as writer:
            writer.wait_for(chance.randint(*SENT_BEFORE_KILL))
    assert_nothing_lost(tmp_path / "journal", recorder)
    assert recorder.damages == []
    assert len(recorder.sent) > KILLS


def test_a_writer_that_sends_before_it_commits_is_caught(tmp_path: Path) -> None:
    """The negative control: the test above sees what it is there to see."""
    recorder = Recorder()
    for kill in range(3):
        with writing(tmp_path / "journal", recorder, "early") as writer:
            writer.wait_for(12 + kill)
    with pytest.raises(AssertionError):
        assert_nothing_lost(tmp_path / "journal", recorder)


@pytest.mark.parametrize("fault", ["unnamed", "half-named"])
def test_a_kill_within_a_change_of_file_loses_nothing(tmp_path: Path, fault: str) -> None:
    recorder, folder = Recorder(), tmp_path / "journal"
    with writing(folder, recorder, fault) as writer:
        writer.wait_for_its_end()
    assert (folder / NAME).exists()
    newest = len(places(folder))
    with writing(folder, recorder) as writer:
        writer.wait_for(20)
    # What was begun is there under its name, before the file of the next epoch.
    assert [place.epoch for place in places(folder)[: newest + 2]] == [1] * (newest + 1) + [2]
    assert recorder.damages == []
    assert recorder.epochs == [1, 2]
    assert_nothing_lost(folder, recorder)


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that keeps what was synced."""
    return build_library(tmp_path_factory.mktemp("power"))


def _after_power_loss(shadow: Path, into: Path) -> None:
    """Make the folder that a loss of power leaves at worst: what was synced, and nothing else."""
    into.mkdir()
    for line in (shadow / "names").read_text().splitlines():
        inode, name = line.split(" ", 1)
        kept = shadow / "inodes" / inode
        (into / name).write_bytes(kept.read_bytes() if kept.exists() else b"")


def _lose_power(tmp_path: Path, disk: Path, fault: str, sent: int | None) -> Recorder:
    folder, shadow = tmp_path / "journal", tmp_path / "shadow"
    folder.mkdir()
    recorder = Recorder()
    with writing(folder, recorder, fault, **watched(disk, folder, shadow)) as writer:
        if sent is None:
            writer.wait_for_its_end()
        else:
            writer.wait_for(sent)
    shutil.rmtree(folder)
    _after_power_loss(shadow, folder)
    # What is there is opened by a process without the library, as after a restart.
    with writing(folder, recorder) as writer:
        writer.wait_for(20)
    return recorder


@pytest.mark.parametrize("sent", [3, 40, 333])
def test_a_loss_of_power_loses_nothing_that_was_sent(tmp_path: Path, disk: Path, sent: int) -> None:
    recorder = _lose_power(tmp_path, disk, "", sent)
    assert recorder.damages == []
    assert recorder.epochs == [1, 2]
    assert_nothing_lost(tmp_path / "journal", recorder)


def test_a_loss_of_power_before_a_file_s_name_is_synced_loses_nothing(
    tmp_path: Path, disk: Path
) -> None:
    recorder = _lose_power(tmp_path, disk, "names", None)
    folder = tmp_path / "journal"
    # Some of what was sent was on disk under the spare file's name alone.
    names = (tmp_path / "shadow" / "names").read_text().splitlines()
    kept = [line.split(" ", 1)[1] for line in names]
    assert NAME in kept
    assert len([name for name in kept if name.endswith(SUFFIX)]) == 1
    assert len(places(folder)) > 2
    assert recorder.damages == []
    assert recorder.epochs == [1, 2]
    assert_nothing_lost(folder, recorder)


def test_a_journal_that_does_not_sync_is_caught(tmp_path: Path, disk: Path) -> None:
    """The negative control: with syncing left to the system, power takes what was sent along."""
    recorder = _lose_power(tmp_path, disk, "unsynced", 60)
    with pytest.raises(AssertionError):
        assert_nothing_lost(tmp_path / "journal", recorder)


FULL_DISK = """
from pathlib import Path
from edge_node.journal.errors import JournalError, JournalFullError
from edge_node.journal.resuming import resume_tracker
from tests.support.journals import Play, facts, opened
folder, shadow = Path(sys.argv[1]), Path(sys.argv[2])
journal, play = opened(folder, segment_bytes=150_000), Play(checkpoint_every=10)

def refused(entries, kind):
    tip = journal.tip
    try:
        journal.commit(entries)
    except JournalError as error:
        assert type(error) is kind, error
        assert error.retryable
        assert journal.tip == tip
        return
    raise AssertionError("it was taken")

# A disk that is full, or takes no syncs, at any commit, those that begin a file included.
for step in range(90):
    entries = play.next()
    for name, kind in (("full", JournalFullError), ("broken", JournalError)):
        if step % (4 if name == "full" else 7) == 0:
            (shadow / name).touch()
            refused(entries, kind)
            refused(entries, kind)
            (shadow / name).unlink()
    journal.commit(entries)
journal.close()
again = opened(folder)
assert again.recovered.damages == (), again.recovered.damages
resumed = resume_tracker(facts().rig, again.recovered)
assert resumed.checkpoint() == play.tracker.checkpoint()
again.close()
"""


def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path, disk: Path) -> None:
    folder, shadow = tmp_path / "journal", tmp_path / "shadow"
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **watched(disk, folder, shadow)}
    program = f"import sys\n{FULL_DISK}"
    ran = subprocess.run(
        [sys.executable, "-c", program, folder, shadow],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    verdict = verify(folder)
    assert verdict.found == []
    assert verdict.snapshots["live"] == 90


def test_a_disk_that_is_full_at_the_start_is_told(tmp_path: Path, disk: Path) -> None:
    folder, shadow = tmp_path / "journal", tmp_path / "shadow"
    folder.mkdir()
    environment = {**os.environ, **watched(disk, folder, shadow)}
    (shadow / "full").touch()
    program = "import sys, pathlib; from tests.support.journals import opened\n"
    program += "opened(pathlib.Path(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "JournalFullError" in ran.stderr
    (shadow / "full").unlink()
    subprocess.run([sys.executable, "-c", program, folder], cwd=ROOT, env=environment, check=True)
