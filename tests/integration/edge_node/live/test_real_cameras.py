"""A whole night in small: four real RTSP cameras, a real Triton, a node, a client, a play cut out.

The cameras show the demo's clip of two people, to and fro, with the time of each picture in its top
rows: so a picture says itself when it was taken, wherever it is found again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import accel
import tipoff
from accel import COCO17, Rig
from edge_node.cameras.segments import segments
from edge_node.frames import CameraFrame
from edge_node.inference import Detect, Inference
from edge_node.journal.codec import Kind
from edge_node.journal.parts import Span, parts
from edge_node.journal.reading import JournalReader
from edge_node.journal.where import journals_folder, session_folder
from edge_node.live.clip_cli import snapshots_of
from edge_node.pictures import ArrayPicture
from tests.support.cameras import BITS, BLOCK, CamerasSpec, made_ns, rtsp_cameras
from tests.support.cli import run_tipoff
from tests.support.films import SIZE, calibration, make_films
from tests.support.nodes import NodeProcess, Session, wait_until
from tests.support.otlp import Receiver, attributes_of, receiver
from triton_models.client import InferenceClient
from triton_models.server import TritonServer

NAMES = ("cam01", "cam02", "cam03", "cam04")
RATE = 8
BEAT_NS = 1_000_000_000 // RATE
KEY_NS = 1_000_000_000
"""Between two key frames."""
TRACE_EVERY = 3
USER, PASSWORD = "ann", "courtside-secret"
BEFORE_PLAY_NS = 2 * KEY_NS
"""Before the cut from where every camera's own clock is in use: a camera's clip begins at the key
frame before."""
PLAY_NS = 3_000_000_000
CUT_BEFORE_NS = 300_000_000
"""The play ends so long before the newest snapshot: smoothed ones and the ring come later."""
BOTH_SHARE = 0.6
"""Of a play's snapshots, those in which both people are seen by so many cameras."""
VIEWS = 2
"""Of four."""
NEAR_M = 1.0
"""Somebody so near to where one of the two people is in a play is taken for that one."""
LEAST = PLAY_NS // BEAT_NS // 2
"""Snapshots of a play, at least."""
MOST_NS = 60_000_000_000
"""Nothing here takes so much play unless it is broken."""


TOO_BUSY = 3
"""Waiting processes for each core with which nothing that is live can be shown."""


@dataclass
class Night:
    """What was seen of the session, from outside."""

    session: Session
    snapshots: list[tipoff.Snapshot] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    cut: dict[str, Any] = field(default_factory=dict)
    play: Path = Path()
    log: list[str] = field(default_factory=list)
    traces: Receiver | None = None

    @property
    def journal(self) -> Path:
        return session_folder("court", journals_folder(self.session.state))

    @property
    def of_play(self) -> list[tipoff.Snapshot]:
        from_ns, to_ns = self.cut["from_ns"], self.cut["to_ns"]
        return [one for one in self.snapshots if from_ns <= one.time_ns <= to_ns]


def declare(folder: Path, sources: dict[str, str], triton: str, otlp: str) -> Session:
    cameras = "\n".join(f'{name} = "{source}"' for name, source in sources.items())
    (folder / "court.toml").write_text(f"""name = "court"
node = "courtside"
rig = "{calibration()}"
state = "state"
area = "all"

[cameras]
{cameras}

[models]
triton = "{triton}"
# At a low rate everybody is looked for anew within a second.
detect_every = 4

# Where this machine has much else to do: frames that come apart are waited for, and rather than
# that fewer people are posed the rate goes down.
[rounds]
hold_ms = 100

[[load.steps]]
rate_divisor = 2

[tracking]
rate_hz = {RATE}

[listen]
subscribers = "127.0.0.1:0"
metrics = "127.0.0.1:0"

[telemetry]
log_level = "debug"
otlp = "{otlp}"
trace_every = {TRACE_EVERY}
""")
    return Session(folder / "court.toml")


def by_their_own_clocks(session: Session) -> bool:
    """Say whether each camera has told its time; they do within five seconds."""
    cameras = told("node", "status", session.file)["cameras"]
    clocks = [camera["health"].get("clock") for camera in cameras]
    return clocks == ["CAPTURE_CLOCK_SENDER"] * len(NAMES)


def follow(address: str, clocks_ns: int) -> Iterator[tipoff.Snapshot]:
    """Give snapshots until both people were followed through a whole play, however busy it is.

    Args:
        address: Of the node.
        clocks_ns: When each camera's own clock was in use.
    """
    kept: list[tipoff.Snapshot] = []
    with tipoff.Client(address) as client, client.stream_tracks(from_sequence=1) as stream:
        for one in stream:
            yield one
            kept.append(one)
            length_ns = one.time_ns - clocks_ns
            play = [k for k in kept if one.time_ns - k.time_ns <= PLAY_NS + CUT_BEFORE_NS]
            both = sum(followed(k) >= 2 for k in play) / max(len(play), LEAST + 2)
            if length_ns >= BEFORE_PLAY_NS + PLAY_NS + CUT_BEFORE_NS and both >= BOTH_SHARE:
                return
            if length_ns >= MOST_NS:
                skip_where_too_busy()
                raise AssertionError(f"two people were followed in {both:.0%} of the snapshots")


def skip_where_too_busy() -> None:
    """Give up where whatever else runs here leaves a live node no processor."""
    if os.getloadavg()[0] > TOO_BUSY * (os.cpu_count() or 1):
        pytest.skip(f"this machine has too much else to do ({os.getloadavg()[0]:.0f} wait)")


def well_seen(snapshot: tipoff.Snapshot | accel.Snapshot) -> NDArray[np.bool_]:
    """Say of whom most joints are seen by enough cameras, (T,)."""
    if not len(snapshot.ids):
        return np.zeros(0, np.bool_)
    enough: NDArray[np.bool_] = np.median(snapshot.views, axis=1) >= VIEWS
    return enough


def followed(snapshot: tipoff.Snapshot) -> int:
    """Count those people."""
    return int(well_seen(snapshot).sum())


def strangers(play: list[tipoff.Snapshot]) -> int:
    """Count how often somebody with another number is seen well where one of the two people is.

    A third one stands far behind them, whom two of the cameras see now and then.
    """
    seen = [
        (int(identity), np.nanmean(joints_m, axis=0))
        for one in play
        for identity, joints_m in zip(one.ids, one.joints_m, strict=True)
        if identity in one.ids[well_seen(one)]
    ]
    both = [each for each, _ in Counter(identity for identity, _ in seen).most_common(2)]
    there_m = np.array([middle_m for identity, middle_m in seen if identity in both])
    others_m = [middle_m for identity, middle_m in seen if identity not in both]
    gaps_m = [np.linalg.norm(there_m - other_m, axis=1).min() for other_m in others_m]
    return sum(gap_m < NEAR_M for gap_m in gaps_m)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, triton_server: TritonServer) -> Night:
    """A session of four cameras, a play cut out of it while it runs, and its regular end."""
    folder = tmp_path_factory.mktemp("night")
    films = make_films(folder)
    spec = CamerasSpec(size=SIZE, rate=RATE, user=USER, password=PASSWORD, film=films)
    with rtsp_cameras(spec) as rtsp, receiver() as traces:
        credentials = "${CAM_USER}:${CAM_PASSWORD}@"
        sources = {name: rtsp.url(camera, credentials) for camera, name in enumerate(NAMES)}
        session = declare(folder, sources, triton_server.grpc_address, traces.address)
        night = Night(session, play=folder / "play", traces=traces)
        environment = {"CAM_USER": USER, "CAM_PASSWORD": PASSWORD}
        with NodeProcess(session, environment).start() as node:
            wait_until(lambda: by_their_own_clocks(session), "each camera's own clock in use")
            night.snapshots.extend(follow(node.address, time.time_ns()))
            to_ns = night.snapshots[-1].time_ns - CUT_BEFORE_NS
            night.status = told("node", "status", session.file)
            # Live ones are there however busy this machine is; smoothed ones want four a second.
            moments = ("--from", to_ns - PLAY_NS, "--to", to_ns, "--live")
            night.cut = told("clip", session.file, *moments, "--out", night.play)
            assert node.stop() == 0
        night.log = node.log
    for film in films:
        film.unlink()
    return night


def told(*arguments: object) -> dict[str, Any]:
    ran = run_tipoff(*map(str, arguments), "--json")
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def pictures(path: Path, begin_ns: int) -> list[tuple[int, NDArray[np.uint8]]]:
    """Each picture of a clip with the time at which it is shown, ns UTC."""
    with av.open(str(path)) as container:
        return [
            (begin_ns + round(1e9 * float(frame.time)), frame.to_ndarray(format="rgb24"))  # type: ignore[misc]
            for frame in container.decode(video=0)
            if frame.time is not None
        ]


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bright: NDArray[np.uint8] = rgb.mean(axis=2).astype(np.uint8)
    return bright


def test_two_people_are_followed_from_four_real_cameras(night: Night) -> None:
    skip_where_too_busy()
    of_play = night.of_play
    assert len(of_play) >= LEAST // 2
    assert np.mean([followed(one) >= 2 for one in of_play]) > BOTH_SHARE - 0.1
    # Whoever is seen well keeps its number.
    assert strangers(of_play) <= 0.1 * sum(followed(one) for one in of_play)
    sequences = [one.sequence for one in night.snapshots]
    assert sequences == list(range(1, len(sequences) + 1))
    assert [one.time_ns for one in night.snapshots] == sorted({o.time_ns for o in night.snapshots})


def test_the_node_knows_its_cameras_by_their_own_clocks(night: Night) -> None:
    assert night.status["ready"]
    for camera in night.status["cameras"]:
        health = camera["health"]
        assert health["state"] == "CAMERA_STATE_LIVE", health
        assert health["clock"] == "CAPTURE_CLOCK_SENDER", health
        assert int(health["frames"]) > 2 * RATE


@pytest.mark.parametrize("camera", NAMES)
def test_the_play_is_what_each_camera_sent_at_its_own_time(night: Night, camera: str) -> None:
    from_ns, to_ns = night.cut["from_ns"], night.cut["to_ns"]
    begin_ns = night.cut["begins_ns"][camera]
    shown = pictures(night.play / f"{camera}.mp4", begin_ns)
    assert len(shown) == night.cut["cameras"][camera]
    off_ns = [shown_ns - made_ns(luma(rgb), shown_ns) for shown_ns, rgb in shown]
    assert abs(np.median(off_ns)) < 10e6, np.array(off_ns) / 1e6
    assert np.abs(off_ns).max() < BEAT_NS, np.array(off_ns) / 1e6
    # From the key frame before its beginning to its last picture, and none of them is missing.
    assert from_ns - 1.5 * KEY_NS < shown[0][0] <= from_ns + BEAT_NS
    assert to_ns - 1.5 * BEAT_NS < shown[-1][0] < to_ns
    assert np.diff([at_ns for at_ns, _ in shown]).max() < 1.5 * BEAT_NS


def test_the_drawn_play_shows_the_pictures_of_its_moments(night: Night) -> None:
    drawn = pictures(night.play / "skeletons.mp4", night.cut["begins_ns"]["skeletons"])
    assert len(drawn) == night.cut["drawn"] >= LEAST // 2
    older_ns = []
    for at_ns, canvas in drawn[1:]:
        panels = np.array_split(luma(canvas), len(NAMES), axis=1)
        older_ns += [at_ns - small_made_ns(panel, at_ns) for panel in panels]
    # The newest picture of each camera: no older than its beat, by its clock.
    assert np.quantile(older_ns, 0.9) < BEAT_NS + 20e6, np.sort(older_ns)[-9:] / 1e6
    assert np.max(older_ns) < 2 * BEAT_NS
    assert np.min(older_ns) > -BEAT_NS / 2, np.sort(older_ns)[:9] / 1e6


def small_made_ns(panel: NDArray[np.uint8], near_ns: int) -> int:
    """Read the time of a picture that was made smaller."""
    factor = (panel.shape[1] - 2) / SIZE[0]
    columns = ((np.arange(BITS) + 0.5) * BLOCK * factor).astype(int)
    rows = slice(2, int(BLOCK * factor) - 3)
    levels = np.median(panel[rows, columns[:, None] + np.arange(-1, 2)], axis=(0, 2))
    blocks = np.repeat(levels.astype(np.uint8), BLOCK)
    return made_ns(np.tile(blocks, (BLOCK, 1)), near_ns)


def test_the_skeletons_stand_where_the_people_are_in_their_pictures(
    night: Night, triton_client: InferenceClient
) -> None:
    """Seen by a model that looks at the cut pictures anew, and best at the right time."""
    skip_where_too_busy()
    rig = Rig.load(calibration())
    reader = JournalReader(night.journal)
    (part,) = parts(reader, Kind.LIVE, Span(night.cut["from_ns"], night.cut["to_ns"]))
    tracks = list(snapshots_of(reader, Kind.LIVE, part))
    times_ns = np.array([one.time_ns for one in tracks])
    off: dict[int, list[float]] = {-3: [], 0: [], 3: []}
    inference = Inference(triton_client, len(COCO17.joints), 0.3)
    try:
        for camera, name in enumerate(NAMES):
            shown = pictures(night.play / f"{name}.mp4", night.cut["begins_ns"][name])
            for at_ns, rgb in [one for one in shown if one[0] > times_ns[0]][2:-2:3]:
                frame = CameraFrame(camera, name, at_ns, 0, ArrayPicture(rgb))
                seen = inference.submit(frame, [Detect(1.0, (320, 512))]).result().keypoints
                seen[..., :2] = (seen[..., :2] + 0.5) * 2 - 0.5
                for later, errors in off.items():
                    nearest = np.abs(times_ns - at_ns - later * BEAT_NS).argmin()
                    track = tracks[int(nearest)]
                    joints = rig.project(track.joints_m)[:, :, camera]
                    errors.extend(misfits(seen, joints[well_seen(track)]))
    finally:
        inference.close()
    found = {later: float(np.median(errors)) for later, errors in off.items()}
    assert len(off[0]) >= 6
    assert found[0] < 40.0, found
    assert found[0] < 0.8 * min(found[-3], found[3]), found


def misfits(seen: NDArray[np.float32], tracks: NDArray[np.float64]) -> list[float]:
    """Median distance of each track's joints from those of the person nearest to it, px."""
    found = []
    for joints in tracks:
        gaps = np.linalg.norm(seen[..., :2] - joints, axis=-1)
        gaps[seen[..., 2] < 0.3] = np.nan
        clear = np.isfinite(gaps).sum(axis=1) >= 6
        if clear.any():
            found.append(float(np.nanmedian(gaps[clear], axis=1).min()))
    return found


def test_the_session_proves_itself_and_keeps_its_cameras_password(night: Night) -> None:
    verified = told("verify", night.journal)
    assert verified["snapshots"]["live"] >= len(night.snapshots)
    held = [segment for name in NAMES for segment in segments(night.session.state / "video", name)]
    assert len(held) >= len(NAMES)
    places = [path for path in night.session.file.parent.rglob("*") if path.is_file()]
    for path in places:
        assert PASSWORD.encode() not in path.read_bytes(), path
    for line in (*night.log, json.dumps(night.status), json.dumps(night.cut)):
        assert PASSWORD not in line


def test_a_trace_leads_from_the_cameras_frames_to_what_the_subscriber_was_sent(
    night: Night,
) -> None:
    assert night.traces is not None
    about = {"service.name": "tipoff-edge-node", "node": "courtside", "session": "court"}
    assert all(one.items() >= {**about, "epoch": 1}.items() for one in night.traces.resources)
    received = {one.sequence: one.time_ns for one in night.snapshots}
    traces = night.traces.traces()
    assert len(traces) >= len(received) // TRACE_EVERY
    sent = wanted = 0
    for spans in traces.values():
        (root,) = [span for span in spans if span.name == "frame_set"]
        assert not root.parent_span_id
        others = [span for span in spans if span is not root]
        assert {span.parent_span_id for span in others} == {root.span_id}
        steps = {span.name: span for span in others}
        assert steps.keys() >= {"camera_frame", "answer", "track", "commit", "publish"}
        cameras = [attributes_of(s.attributes) for s in others if s.name == "camera_frame"]
        assert {one["camera"] for one in cameras} <= set(NAMES)
        about_root = attributes_of(root.attributes)
        assert len(cameras) == about_root["frames"]
        time_ns = int(about_root["time_ns"])
        # A round whose time was not newer has that of another one.
        live = time_ns in {int(one["capture_time_ns"]) for one in cameras}
        wanted += live and time_ns in received.values()
        for step, after in pairwise(("answer", "track", "commit", "publish")):
            assert steps[step].end_time_unix_nano <= steps[after].start_time_unix_nano
        for send in [span for span in others if span.name == "send"]:
            about_send = attributes_of(send.attributes)
            assert about_send["kind"] == "live"
            assert received[int(about_send["sequence"])] == about_root["time_ns"]
            # What leaves is on disk.
            assert send.start_time_unix_nano >= steps["commit"].end_time_unix_nano
            assert send.end_time_unix_nano >= send.start_time_unix_nano
            sent += 1
    assert sent == wanted > 0
    for body in night.traces.bodies:
        assert PASSWORD.encode() not in body
        assert USER.encode() + b":" not in body
