"""The hub numbers, encodes once, holds within its bounds, and is safe between threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_node.encoding import EndReason
from edge_node.hub import READ_AHEAD, Hub, HubLimits
from tests.support.frames import CAMERAS, describe, make_frame, make_frames
from tests.support.streams import make_hub
from tipoff.v1 import tracking_pb2 as pb


def test_an_empty_hub_holds_nothing() -> None:
    hub = Hub(describe())
    assert hub.held_range() == (0, 0)
    assert hub.read(1) == []
    assert hub.ended is None


def test_sequences_begin_at_one_and_have_no_holes() -> None:
    hub = make_hub(10)
    assert hub.held_range() == (1, 10)
    assert [held.sequence for held in hub.read(1)] == list(range(1, 11))
    assert [held.sequence for held in hub.read(8, 2)] == [8, 9]
    assert hub.read(11) == []


def test_everybody_reads_the_same_bytes_object() -> None:
    hub = make_hub(3)
    assert hub.read(2)[0].message is hub.read(1)[1].message


def test_a_read_is_bounded() -> None:
    hub = make_hub(READ_AHEAD + 10)
    assert len(hub.read(1)) == READ_AHEAD


def test_the_oldest_go_by_count() -> None:
    hub = make_hub(10, limits=HubLimits(max_snapshots=4))
    assert hub.held_range() == (7, 10)
    assert [held.sequence for held in hub.read(2)] == [7, 8, 9, 10]


def test_the_oldest_go_by_bytes() -> None:
    size = make_hub(1).held_bytes
    hub = make_hub(20, limits=HubLimits(max_bytes=5 * size + size // 2))
    held = hub.read(1)
    assert 4 <= len(held) <= 6
    assert hub.held_bytes == sum(len(one.message) for one in held) <= 5.5 * size


def test_the_newest_is_held_whatever_its_size() -> None:
    hub = make_hub(3, limits=HubLimits(max_bytes=1))
    assert hub.held_range() == (3, 3)


def test_a_snapshot_holds_every_number_of_its_frame() -> None:
    hub = Hub(describe(epoch=4), clock_ns=lambda: 123)
    frame = make_frame(5)
    hub.write(frame)
    snapshot = pb.StreamTracksResponse.FromString(hub.read(1)[0].message).snapshot
    tracks = frame.snapshot
    assert (snapshot.epoch, snapshot.sequence) == (4, 1)
    assert (snapshot.time_ns, snapshot.sent_ns) == (frame.time_ns, 123)
    assert list(snapshot.track_ids) == tracks.ids.tolist()
    np.testing.assert_array_equal(snapshot.joints_m, tracks.joints_m.ravel().astype(np.float32))
    rows, columns = np.triu_indices(3)
    triangle = tracks.covariance_m2[..., rows, columns].ravel().astype(np.float32)
    np.testing.assert_array_equal(snapshot.covariance_m2, triangle)
    np.testing.assert_array_equal(snapshot.confidence, tracks.confidence.ravel())
    np.testing.assert_array_equal(snapshot.views, tracks.views.ravel())


def test_a_snapshot_names_the_health_of_every_camera() -> None:
    hub = make_hub(6)
    snapshot = pb.StreamTracksResponse.FromString(hub.read(6)[0].message).snapshot
    assert tuple(camera.name for camera in snapshot.cameras) == CAMERAS
    live, lossy, waiting = snapshot.cameras
    assert (live.state, live.frames, live.dropped_frames) == (pb.CAMERA_STATE_LIVE, 6, 0)
    assert live.last_capture_time_ns == snapshot.time_ns
    assert lossy.dropped_frames == 3
    assert waiting.state == pb.CAMERA_STATE_WAITING
    assert not waiting.HasField("last_capture_time_ns")


def test_the_end_names_the_reason_and_the_last_sequence() -> None:
    hub = make_hub(3)
    hub.end(EndReason.FAILED, "a camera fell down")
    hub.end(EndReason.COMPLETED)
    assert hub.ended is not None
    end = pb.StreamTracksResponse.FromString(hub.ended.message).end
    assert (end.reason, end.detail) == (pb.END_REASON_FAILED, "a camera fell down")
    assert (end.epoch, end.last_sequence) == (1, 3)


@pytest.mark.parametrize("finish", ["close", "end"])
def test_nothing_is_written_behind_the_end(finish: str) -> None:
    hub = make_hub(1)
    if finish == "close":
        hub.close()
    else:
        hub.end(EndReason.STOPPED)
    with pytest.raises(RuntimeError, match="after its end"):
        hub.write(make_frame(2))
    assert hub.newest == 1


def test_closing_as_a_sink_does_not_end_the_session() -> None:
    hub = make_hub(1)
    hub.close()
    assert hub.ended is None


def test_listeners_hear_of_every_write_and_of_the_end() -> None:
    hub = make_hub()
    heard: list[int] = []

    def listen() -> None:
        heard.append(hub.newest)

    hub.add_listener(listen)
    for frame in make_frames(2):
        hub.write(frame)
    hub.end(EndReason.COMPLETED)
    hub.remove_listener(listen)
    assert heard == [1, 2, 2]


def test_readers_never_see_a_hole_while_a_writer_writes() -> None:
    hub = make_hub(limits=HubLimits(max_snapshots=16))
    done = threading.Event()
    wrong: list[list[int]] = []

    def read() -> None:
        place = 1
        while not done.is_set() or place <= hub.newest:
            sequences = [held.sequence for held in hub.read(place)]
            if sequences and sequences != list(range(sequences[0], sequences[-1] + 1)):
                wrong.append(sequences)
            if sequences and sequences[0] < place:
                wrong.append([place, *sequences])
            place = sequences[-1] + 1 if sequences else place

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for frame in make_frames(400):
        hub.write(frame)
    done.set()
    for reader in readers:
        reader.join(20)
    assert wrong == []
    assert hub.held_range() == (385, 400)
