"""The contract on the wire: lint-clean, every part explained, and bearing what a later one adds."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tipoff.v1 import tracking_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "protos/tipoff/v1/tracking.proto"
BUF = Path(sys.executable).with_name("buf")
RELEASED = Path(__file__).with_name("released.binpb")
"""The contract that users hold, for trees without a tag: `make released` writes it at a release."""


def test_buf_finds_nothing_and_would_have_written_the_same() -> None:
    for command in (["lint"], ["format", "-d", "--exit-code"]):
        ran = _buf(ROOT, *command)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_message_field_and_value_is_explained() -> None:
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "protos").rglob("*.proto"))]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    starts = ("message ", "enum ", "service ", "rpc ", "oneof ")
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if (line.startswith(starts) or (line.endswith(";") and " = " in line and line[0] != "/"))
        and not before.startswith("//")
        and not line.startswith(("syntax", "import"))
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


def _buf(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *command], cwd=folder, capture_output=True, text=True, check=False)


def _newest_tag() -> str | None:
    """Name the newest tag behind this commit; None where there is none, or no git."""
    if shutil.which("git") is None:
        return None
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or None if ran.returncode == 0 else None


def _breaks(folder: Path) -> str:
    """Say what of ``folder``'s contract breaks what users hold; empty where nothing does."""
    tag = _newest_tag()
    against = [str(RELEASED)] if tag is None else [str(RELEASED), f"{ROOT}/.git#tag={tag}"]
    said = ""
    for one in against:
        ran = _buf(folder, "breaking", "--against", one)
        assert ran.returncode in (0, 100), ran.stderr
        said += ran.stdout
    return said


def test_the_contract_grows_and_does_not_break_what_was_released() -> None:
    assert _breaks(ROOT) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("repeated float joints_m = 6;", "repeated double joints_m = 6;"),
        (
            "uint64 sequence = 2;\n  // Time that the tracks",
            "uint64 sequence = 20;\n  // Time that",
        ),
        ("GAP_REASON_EXPIRED = 1;", "GAP_REASON_EXPIRED = 9;"),
        ("rpc GetSession(", "rpc DescribeSession("),
    ],
)
def test_a_contract_that_breaks_is_found(before: str, after: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    proto = tmp_path / PROTO.relative_to(ROOT)
    text = proto.read_text("utf-8")
    assert text.count(before) == 1
    proto.write_text(text.replace(before, after), "utf-8")
    assert _breaks(tmp_path) != ""
