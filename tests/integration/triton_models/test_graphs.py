"""Each DALI graph is one for both devices: serialised for the CPU and the GPU, and compared."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from triton_models import environment

ROOT = Path(__file__).parents[3]
OPERATORS_FIELD, NAME_FIELD = 5, 1
CODE = """
import base64, json, sys
sys.path.insert(0, sys.argv[1])
from triton_models import graphs
made = {
    f"{kind}-{device}": graphs.build(kind, device, graphs.Frame(640, 384)).serialize()
    for kind in graphs.GRAPHS for device in ("cpu", "gpu")
}
print(json.dumps({name: base64.b64encode(data).decode() for name, data in made.items()}))
"""


@pytest.fixture(scope="module")
def serialised() -> dict[str, bytes]:
    """Serialise every graph for both devices, in the models' own environment."""
    where = environment.install(print)
    command = [str(where.python), "-c", CODE, str(ROOT)]
    ran = subprocess.run(
        command, env=where.variables(), capture_output=True, text=True, check=True, timeout=120
    )
    return {name: base64.b64decode(data) for name, data in json.loads(ran.stdout).items()}


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protobuf message that hold bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 2:
            size, at = varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        elif key & 7 == 0:
            _, at = varint(data, at)
        else:
            at += {1: 8, 5: 4}[key & 7]


def operators(data: bytes) -> list[str]:
    """Name the operators of a serialised pipeline, in order."""
    return [
        next(value.decode() for number, value in fields(operator) if number == NAME_FIELD)
        for number, operator in fields(data)
        if number == OPERATORS_FIELD
    ]


@pytest.mark.parametrize("kind", ["jpeg", "video"])
def test_both_devices_run_the_same_operators(serialised: dict[str, bytes], kind: str) -> None:
    on_cpu, on_gpu = (operators(serialised[f"{kind}-{device}"]) for device in ("cpu", "gpu"))
    assert on_cpu == on_gpu
    assert any("Resize" in name for name in on_cpu)
    assert any("Pad" in name for name in on_cpu)


def test_the_graphs_decode_what_they_should(serialised: dict[str, bytes]) -> None:
    assert any("Image" in name for name in operators(serialised["jpeg-cpu"]))
    assert any("ideo" in name for name in operators(serialised["video-gpu"]))


@pytest.mark.parametrize("kind", ["jpeg", "video"])
def test_only_the_gpu_graph_decodes_there(serialised: dict[str, bytes], kind: str) -> None:
    assert b"mixed" not in serialised[f"{kind}-cpu"]
    assert b"mixed" in serialised[f"{kind}-gpu"]
    assert b"gpu" in serialised[f"{kind}-gpu"]
