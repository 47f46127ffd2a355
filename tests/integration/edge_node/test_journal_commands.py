"""`tipoff journal`, `tipoff verify` and `tipoff replay` as a user runs them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import tipoff
from edge_node.cameras.observations import read_info, read_observations
from edge_node.description import Player, StreamKind, Team
from edge_node.hub import Hub
from edge_node.journal import replaying
from edge_node.journal.codec import decode
from edge_node.journal.describing import describe, header_notes
from edge_node.journal.entries import Ended, Observed, Snapped
from edge_node.journal.folder import file_bytes, places
from edge_node.journal.journal import Journal, JournalOptions
from edge_node.journal.reading import JournalReader
from edge_node.journal.replaying import Replay, ReplayOptions
from edge_node.journal.resuming import resume_tracker
from edge_node.journal.where import session_folder
from edge_node.moments import show_moment
from edge_node.ring import HubLimits
from tests.support.cli import run_tipoff, tipoff_command
from tests.support.journals import SESSION, Play, facts, key, opened
from tests.support.streams import EAGER
from tipoff.v1 import tracking_pb2 as pb

STEPS = 40


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all journals, with a game of two epochs that has ended."""
    root = tmp_path_factory.mktemp("journals")
    folder = session_folder(SESSION, root)
    journal, play = opened(folder, segment_bytes=60_000, sign_every_ns=1), Play(checkpoint_every=10)
    for _ in range(STEPS):
        journal.commit(play.next())
    journal.close()
    journal = opened(folder, segment_bytes=60_000, sign_every_ns=1)
    assert journal.recovered is not None
    again = Play(resume_tracker(facts().rig, journal.recovered), 2, STEPS + 30)
    for _ in range(STEPS):
        journal.commit(again.next())
    journal.commit([Ended("completed", "the buzzer")])
    journal.close()
    return root


def _json(*arguments: str | Path) -> Any:
    ran = run_tipoff(*arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_journals_are_listed_and_described(journals: Path) -> None:
    rows = _json("journal", "ls", "--journals", journals)
    assert [(row["session"], row["epoch"], row["damage"]) for row in rows] == [(SESSION, 2, "")]
    assert SESSION in run_tipoff("journal", "ls", "--journals", journals).stdout
    about = _json("journal", "info", SESSION, "--journals", journals)
    assert about["rig"] == f"sha256:{facts().rig.digest()}"
    assert about["public_key"] == key().public.hex()
    assert about["models"] == [{"name": "net", "digest": "sha256:00"}]
    assert about["code"]["isa"] == facts().isa
    assert about["last_record"] == rows[0]["last"]
    assert about["written_now"] is False
    sent = _sent(journals, "live")
    assert about["first_snapshot"] == show_moment(sent[0].time_ns)
    assert about["newest_snapshot"] == show_moment(sent[-1].time_ns)


def test_a_journal_whose_oldest_file_is_damaged_is_described(
    journals: Path, tmp_path: Path
) -> None:
    folder = session_folder(SESSION, tmp_path)
    subprocess.run(["cp", "-r", session_folder(SESSION, journals), folder], check=True)
    oldest = folder / places(folder)[0].name
    oldest.write_bytes(bytes(oldest.stat().st_size))
    about = _json("journal", "info", SESSION, "--journals", tmp_path)
    assert (about["first_snapshot"], about["epoch"]) == ("", 2)


def test_a_journal_that_is_not_there_is_named(journals: Path) -> None:
    ran = run_tipoff("verify", "semi", "--journals", journals)
    assert ran.returncode == 3
    assert "there are: finals" in ran.stderr


def test_a_whole_game_is_verified_against_a_head_from_outside(
    journals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _json("journal", "export", SESSION, "--out", out, "--journals", journals)
    head = tmp_path / "head.json"
    head.write_text(json.dumps(json.loads((out / "heads.json").read_text())[-1]))
    own = key().public.hex()
    verdict = _json("verify", SESSION, "--head", head, "--key", own, "--journals", journals)
    assert verdict["holds"]
    assert verdict["snapshots"]["live"] == 2 * STEPS
    assert verdict["signed_up_to"] == json.loads(head.read_text())["record"]
    assert [epoch["epoch"] for epoch in verdict["epochs"]] == [1, 2]
    assert verdict["vouched"]
    assert verdict["unsigned"] == []
    told = run_tipoff("verify", SESSION, "--journals", journals)
    assert told.returncode == 0
    assert "nobody vouched for them" in told.stdout
    assert told.stdout.endswith("holds\n")


def test_a_game_that_another_key_signed_is_told(journals: Path) -> None:
    own, other = key().public.hex(), "00" * 32
    where = ("--journals", journals, "--no-replay")
    ran = run_tipoff("verify", SESSION, "--key", other, *where)
    assert ran.returncode == 1
    assert "WRONG: epoch 1 names another key than the given one" in ran.stdout
    # A node may have had several.
    assert run_tipoff("verify", SESSION, "--key", other, "--key", own, *where).returncode == 0


def test_a_game_of_another_session_in_its_place_is_told(journals: Path, tmp_path: Path) -> None:
    folder = session_folder("semi", tmp_path)
    subprocess.run(["cp", "-r", session_folder(SESSION, journals), folder], check=True)
    ran = run_tipoff("verify", "semi", "--no-replay", "--journals", tmp_path)
    assert ran.returncode == 1
    assert "it is the journal of session 'finals', not of 'semi'" in ran.stdout
    # By its path it may be called as one likes.
    assert run_tipoff("verify", str(folder), "--no-replay").returncode == 0


def test_a_changed_game_is_told(journals: Path, tmp_path: Path) -> None:
    folder = session_folder(SESSION, tmp_path)
    subprocess.run(["cp", "-r", session_folder(SESSION, journals), folder], check=True)
    place = places(folder)[1]
    path = folder / place.name
    records = JournalReader(folder).records(place.first + 1)
    payload = next(record.payload for record in records if len(record.payload) > 64)
    content = bytearray(path.read_bytes())
    content[content.index(payload[:32]) + 16] ^= 4
    path.write_bytes(content)
    ran = run_tipoff("verify", SESSION, "--no-replay", "--journals", tmp_path)
    assert ran.returncode == 1
    assert "WRONG: record" in ran.stdout
    assert ran.stdout.endswith("does not hold\n")


def test_an_export_holds_what_was_tracked_and_sent(journals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _json("journal", "export", SESSION, "--out", out, "--journals", journals)
    reader = JournalReader(session_folder(SESSION, journals))
    entries = [decode(record) for record in reader.records()]
    observed = [entry for entry in entries if isinstance(entry, Observed)]
    names = facts().rig.names
    rows = list(read_observations(out / "observations.parquet"))
    assert done["observations"] == len(rows) == len(observed)
    assert read_info(out / "observations.parquet").cameras == tuple(sorted(names))
    wanted = {(names[e.camera], e.capture_time_ns): e.keypoints for e in observed}
    for camera, time_ns, keypoints in rows:
        np.testing.assert_array_equal(keypoints, wanted[camera, time_ns])
    times = [time_ns for _, time_ns, _ in rows]
    assert times == sorted(times)
    live = [e for e in entries if isinstance(e, Snapped) and e.kind == "live"]
    table = pq.read_table(out / "tracks.parquet")
    last = pb.StreamTracksResponse.FromString(live[-1].message).snapshot
    here = table.filter(np.array(table["time_ns"]) == last.time_ns)
    assert here.num_rows == len(last.confidence)
    xyz = np.stack([here[name].to_numpy() for name in ("x_m", "y_m", "z_m")], axis=-1)
    np.testing.assert_array_equal(
        xyz.ravel().astype(np.float32), np.array(last.joints_m, np.float32)
    )
    covariance = [here[f"cov_{pair}"].to_numpy() for pair in ("xx", "xy", "xz", "yy", "yz", "zz")]
    np.testing.assert_array_equal(
        np.stack(covariance, -1).ravel().astype(np.float32),
        np.array(last.covariance_m2, np.float32),
    )
    session = json.loads((out / "session.json").read_text())
    assert session["rig"]["digest"] == facts().rig.digest()


@contextmanager
def _replayed(journals: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `tipoff replay` until the block ends; gives the process and its address."""
    command = [tipoff_command(), "replay", SESSION, "--journals", str(journals)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate(timeout=30)[1]
            yield process, json.loads(line)["address"]
        finally:
            if process.poll() is None:
                process.kill()


def _sent(journals: Path, kind: str) -> list[pb.Snapshot]:
    reader = JournalReader(session_folder(SESSION, journals))
    entries = [decode(record) for record in reader.records()]
    return [
        pb.StreamTracksResponse.FromString(entry.message).snapshot
        for entry in entries
        if isinstance(entry, Snapped) and entry.kind == kind
    ]


@pytest.mark.parametrize("kind", ["live", "smoothed"])
def test_a_replay_gives_what_was_sent_over_all_epochs(journals: Path, kind: str) -> None:
    sent = _sent(journals, kind)
    with (
        _replayed(journals, "--speed", "4", "--wait-for", "1", "--linger", "1") as (process, at),
        tipoff.Client(at, EAGER) as client,
    ):
        stream = client.stream_tracks(from_sequence=1, from_epoch=1, kind=kind)
        came = list(stream)
        assert stream.header.replay
        assert stream.header.session == SESSION
        assert process.wait(30) == 0
    assert [(s.epoch, s.sequence) for s in came] == [(s.epoch, s.sequence) for s in sent]
    for one, other in zip(came, sent, strict=True):
        assert one.time_ns == other.time_ns
        np.testing.assert_array_equal(
            one.joints_m.ravel().astype(np.float32), np.array(other.joints_m, np.float32)
        )
    first_of_second = next(s for s in came if s.epoch == 2)
    (gap,) = first_of_second.gap_before
    assert gap.from_time_ns == max(one.time_ns for one in sent if one.epoch == 1)
    assert gap.to_time_ns == first_of_second.time_ns


@pytest.mark.parametrize("part", [slice(10, 30), slice(30, 60), slice(60, 75)])
@pytest.mark.parametrize("kind", ["live", "smoothed"])
def test_a_play_is_served_alone(journals: Path, kind: str, part: slice) -> None:
    wanted = _sent(journals, kind)[part]
    when = ("--from", str(wanted[0].time_ns), "--to", str(wanted[-1].time_ns))
    with (
        _replayed(journals, *when, "--speed", "0", "--wait-for", "1", "--linger", "1") as (_, at),
        tipoff.Client(at, EAGER) as client,
    ):
        first, epoch = wanted[0].sequence, wanted[0].epoch
        stream = client.stream_tracks(kind=kind, from_sequence=first, from_epoch=epoch)
        came = list(stream)
    assert [(s.epoch, s.sequence) for s in came] == [(s.epoch, s.sequence) for s in wanted]
    seams = {(2, 1)} if {one.epoch for one in wanted} == {1, 2} else set()
    assert {(one.epoch, one.sequence) for one in came if one.gap_before} == seams
    assert stream.end is not None
    assert stream.end.detail == "the part that was asked for ends here"


def test_a_play_is_exported_alone(journals: Path, tmp_path: Path) -> None:
    sent = _sent(journals, "live")[20:40]
    when = ("--from", str(sent[0].time_ns), "--to", str(sent[-1].time_ns))
    done = _json("journal", "export", SESSION, *when, "--out", tmp_path, "--journals", journals)
    times = np.unique(pq.read_table(tmp_path / "tracks.parquet")["time_ns"])
    assert times.tolist() == [one.time_ns for one in sent]
    rows = [time_ns for _, time_ns, _ in read_observations(tmp_path / "observations.parquet")]
    assert len(rows) == done["observations"] > 20
    assert sent[0].time_ns <= min(rows) < max(rows) <= sent[-1].time_ns


def test_a_time_without_a_play_is_told(journals: Path, tmp_path: Path) -> None:
    for command in (("replay", SESSION), ("journal", "export", SESSION, "--out", tmp_path)):
        ran = run_tipoff(*command, "--to", "2001-01-01T00:00:00Z", "--journals", journals)
        assert ran.returncode == 3
        assert "no snapshot of that time" in ran.stderr


def test_a_replay_stops_when_it_is_told_to(journals: Path) -> None:
    with _replayed(journals, "--speed", "0.01") as (process, at):
        with tipoff.Client(at, EAGER) as client:
            assert client.describe().replay
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_pruned_game_is_served_from_where_it_begins(journals: Path, tmp_path: Path) -> None:
    folder = session_folder(SESSION, tmp_path)
    subprocess.run(["cp", "-r", session_folder(SESSION, journals), folder], check=True)
    size = sum(file_bytes(folder, place) for place in places(folder))
    less = str((size - 1000) / 1e9)
    removed = _json("journal", "prune", SESSION, "--max-gb", less, "--journals", tmp_path)
    assert len(removed["removed"]) == 1
    sent = _sent(tmp_path, "live")
    assert sent[0].sequence > 1
    with (
        _replayed(tmp_path, "--speed", "0", "--wait-for", "1", "--linger", "1") as (_, at),
        tipoff.Client(at, EAGER) as client,
    ):
        first, epoch = sent[0].sequence, sent[0].epoch
        came = list(client.stream_tracks(from_sequence=first, from_epoch=epoch))
    assert [(s.epoch, s.sequence) for s in came] == [(s.epoch, s.sequence) for s in sent]


@contextmanager
def replaying_without_pace(journals: Path) -> Iterator[str]:
    """Replay the session as fast as one subscriber reads it, and give the address."""
    at: queue.Queue[str] = queue.Queue()
    options = ReplayOptions(
        listen="127.0.0.1:0",
        speed=0.0,
        wait_for_subscribers=1,
        announce=lambda address, _session: at.put(address),
    )
    replay = Replay(session_folder(SESSION, journals), options)
    running = threading.Thread(target=replay.run)
    running.start()
    try:
        yield at.get(timeout=30)
    finally:
        replay.stop()
        running.join(30)


def test_a_replay_without_a_pace_does_not_outrun_who_reads(
    journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hub that holds next to nothing: what it drops before it was sent is lost."""
    limits = HubLimits(max_snapshots=8)
    monkeypatch.setattr(replaying, "Hub", functools.partial(Hub, limits=limits))
    monkeypatch.setattr(replaying, "MOST_BEHIND", 4)
    monkeypatch.setattr(replaying, "LOOK_EVERY", 1)
    sent = _sent(journals, "live")
    with replaying_without_pace(journals) as address, tipoff.Client(address, EAGER) as client:
        stream = client.stream_tracks(from_sequence=1, from_epoch=1)
        came = list(itertools.takewhile(lambda s: s.epoch == 1, stream))
    first = [one.sequence for one in sent if one.epoch == 1]
    assert [one.sequence for one in came] == first
    assert not any(one.gap_before for one in came)


def test_a_new_epoch_waits_for_who_followed_the_one_before(journals: Path) -> None:
    """Without a pace it would be over before they are back, and with it the game."""
    sent = _sent(journals, "live")
    slow = dataclasses.replace(EAGER, backoff_initial_s=1.0, backoff_max_s=1.0)
    with replaying_without_pace(journals) as address, tipoff.Client(address, slow) as client:
        came = list(client.stream_tracks(from_sequence=1, from_epoch=1))
    assert [(s.epoch, s.sequence) for s in came] == [(s.epoch, s.sequence) for s in sent]


def test_the_header_of_a_replay_is_that_of_the_night() -> None:
    from dataclasses import replace

    from edge_node.availability import AvailabilityRules

    rules = AvailabilityRules(min_views=4)
    teams = (Team("Home", (Player("00", "Bea"),)), Team("Away", ()))
    noted = replace(facts(), notes=header_notes(rules, teams), time_base="utc", rate_hz=60.0)
    live = describe(noted, 3, StreamKind.SMOOTHED, bytes(32))
    assert live.availability_rules == rules
    assert live.roster == teams
    assert live.lag_ns == 100_000_000
    assert not live.replay
    assert replace(live, replay=True) == describe(
        noted, 3, StreamKind.SMOOTHED, bytes(32), replay=True
    )


def test_a_journal_is_verified_from_another_process_while_it_is_written(tmp_path: Path) -> None:
    folder = session_folder(SESSION, tmp_path)
    journal = Journal.open(folder, facts(), key(), JournalOptions(sign_every_ns=1))
    play, done = Play(), threading.Event()

    def write() -> None:
        while not done.wait(0.005):
            journal.commit(play.next())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert _json("verify", SESSION, "--journals", tmp_path)["holds"]
    finally:
        done.set()
        writer.join()
        journal.close()
