"""A tool of another language follows a running node from a shell and acknowledges what comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.nodes import PATIENCE_S, NodeProcess, make_game

CURL = "buf curl --protocol grpc --http2-prior-knowledge"
METHOD = "http://ADDRESS/tipoff.v1.TrackingService/StreamTracks"
SUBSCRIBE = """echo '{"subscribe": {}}'"""
# What comes back tells what to acknowledge.
ACKNOWLEDGE = r"""sed -un 's/.*"sequence": \("[0-9]*"\).*/{"acknowledge": {"sequence": \1}}/p'"""
FOLLOW = (
    f"mkfifo acks; ({SUBSCRIBE}; cat acks) | {CURL} -d @- {METHOD} | tee followed | "
    f"{ACKNOWLEDGE} > acks"
)
SILENT = f"({SUBSCRIBE}; sleep 30) | {CURL} -d @- {METHOD}"
FOLLOWED_S = 7.0
BORNE_NS = 2_000_000_000
"""How far behind a subscriber may be."""


def shell(line: str, address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a line; one that goes on for long is ended, with 124 for its code."""
    tools = Path(sys.executable).parent
    return subprocess.run(
        ["timeout", f"{FOLLOWED_S:g}", "sh", "-c", line.replace("ADDRESS", address)],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def documents(text: str) -> list[dict[str, dict[str, object]]]:
    """Give the JSON documents of a text whose last one may be cut."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while (place := text.find("{", place)) >= 0:
        try:
            document, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            break
        found.append(document)
    return found


def test_a_shell_follows_a_running_node_for_as_long_as_it_acknowledges(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        ran = shell(FOLLOW, node.address, tmp_path)
        silent = shell(SILENT, node.address, tmp_path)
        assert node.stop() == 0
    assert ran.returncode == 124, ran.stderr
    told = documents((tmp_path / "followed").read_text())
    header = told[0]["header"]
    assert (header["session"], header["node"]) == ("walk", "courtside")
    snapshots = [one["snapshot"] for one in told if "snapshot" in one]
    sequences = [int(str(one["sequence"])) for one in snapshots]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    times_ns = [int(str(one["timeNs"])) for one in snapshots]
    assert times_ns[-1] - times_ns[0] > 1.5 * BORNE_NS
    assert any("heartbeat" in one for one in told)
    # Whoever acknowledges nothing is ended, and told so.
    assert "resource_exhausted" in silent.stderr, silent
    assert "is not acknowledged" in silent.stderr


def test_reflection_lists_what_a_node_serves(tmp_path: Path) -> None:
    game = make_game(tmp_path, seconds=60, loop=True)
    with NodeProcess(game).start() as node:
        listed = shell(f"{CURL} --list-methods http://ADDRESS", node.address, tmp_path)
        assert node.stop() == 0
    assert listed.returncode == 0, listed.stderr
    assert "tipoff.v1.TrackingService/StreamTracks" in listed.stdout
    assert "grpc.health.v1.Health/Check" in listed.stdout
