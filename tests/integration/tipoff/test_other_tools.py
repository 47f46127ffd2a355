"""A tool in another language follows a stream with nothing but the address, as the README shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.streams import PATIENCE_S, make_ended_hub, make_hub, serving

BUF = Path(sys.executable).with_name("buf")
SERVICE = "tipoff.v1.TrackingService"


def _curl(address: str, method: str, *said: object) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", "@-"]
    return subprocess.run(
        [str(BUF), *command, f"http://{address}/{SERVICE}/{method}"],
        input="\n".join(json.dumps(one) for one in said),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def _documents(text: str) -> list[dict[str, object]]:
    decoder, place, found = json.JSONDecoder(), 0, []
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        document, place = decoder.raw_decode(text, place)
        found.append(document)
    return found


def test_a_session_is_described_in_json_by_reflection_alone() -> None:
    with serving(make_hub(7)) as (_, address):
        ran = _curl(address, "GetSession", {})
    assert ran.returncode == 0, ran.stderr
    header = json.loads(ran.stdout)["header"]
    assert (header["session"], header["newestSequence"]) == ("game", "7")
    assert header["kind"] == "STREAM_KIND_LIVE"


def test_a_whole_session_is_followed_in_json() -> None:
    with serving(make_ended_hub(20)) as (_, address):
        # Nothing is acknowledged: the server waits for it at the end, within its bound.
        ran = _curl(address, "StreamTracks", {"subscribe": {"fromSequence": "1"}})
    assert ran.returncode == 0, ran.stderr
    documents = _documents(ran.stdout)
    assert "header" in documents[0]
    snapshots = [one["snapshot"] for one in documents if "snapshot" in one]
    assert [one["sequence"] for one in snapshots] == [str(n) for n in range(1, 21)]  # type: ignore[index]
    assert len(snapshots[0]["jointsM"]) == 3 * 17 * 3  # type: ignore[index]
    assert documents[-1]["end"]["reason"] == "END_REASON_COMPLETED"  # type: ignore[index]


def test_a_refusal_is_told_in_words() -> None:
    with serving(make_hub(7)) as (_, address):
        ran = _curl(address, "StreamTracks", {"subscribe": {"session": "other"}})
    assert ran.returncode != 0
    assert "served: game" in ran.stderr
