"""The contract on the wire: lint-clean, every part explained, and bearing what a later one adds."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from tipoff.v1 import tracking_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "protos/tipoff/v1/tracking.proto"


def test_buf_finds_nothing_and_would_have_written_the_same() -> None:
    buf = Path(sys.executable).with_name("buf")
    for command in (["lint"], ["format", "-d", "--exit-code"]):
        ran = subprocess.run([buf, *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_message_field_and_value_is_explained() -> None:
    lines = [line.strip() for line in PROTO.read_text("utf-8").splitlines()]
    starts = ("message ", "enum ", "service ", "rpc ", "oneof ")
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if (line.startswith(starts) or (line.endswith(";") and " = " in line and line[0] != "/"))
        and not before.startswith("//")
        and not line.startswith("syntax")
    ]
    assert bare == []


def test_an_older_client_reads_what_a_later_server_adds() -> None:
    later_field = b"\xfa\x7f\x03new"
    snapshot = pb.Snapshot(epoch=1, sequence=2).SerializeToString() + later_field
    read = pb.Snapshot.FromString(snapshot)
    assert (read.epoch, read.sequence) == (1, 2)
    assert pb.StreamTracksResponse.FromString(later_field).WhichOneof("message") is None


def test_the_numbers_of_a_snapshot_are_packed() -> None:
    whole = pb.Snapshot(joints_m=[0.5] * 100, covariance_m2=[0.5] * 100, confidence=[0.5] * 100)
    assert whole.ByteSize() < 300 * 4 + 20
