"""Calling the server without our client, as the README shows it: curl and tritonclient.http."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tritonclient import http
from tritonclient.utils import InferenceServerException

from tests.support.figures import court_picture, encode_jpeg
from triton_models.server import TritonServer


def curl(*arguments: str, body: bytes = b"") -> bytes:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode_jpeg(court_picture()))
    return path


def test_curl_with_the_file_alone(triton_server: TritonServer, photo: Path) -> None:
    url = f"http://{triton_server.http_address}/v2/models/people_jpeg/infer"
    answer = curl("--data-binary", f"@{photo}", "-H", "Inference-Header-Content-Length: 0", url)
    described, _ = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
    shapes = {output["name"]: output["shape"] for output in described["outputs"]}
    assert shapes == {"BOXES": [2, 4], "KEYPOINTS": [2, 17, 3], "SCORES": [2]}


def test_curl_with_an_answer_in_json(triton_server: TritonServer, photo: Path) -> None:
    url = f"http://{triton_server.http_address}/v2/models/people_jpeg/infer"
    size = photo.stat().st_size
    header = (
        f'{{"inputs":[{{"name":"IMAGE","shape":[{size}],"datatype":"UINT8",'
        f'"parameters":{{"binary_data_size":{size}}}}}]}}'
    )
    length = f"Inference-Header-Content-Length: {len(header)}"
    body = header.encode() + photo.read_bytes()
    answer = json.loads(curl("--data-binary", "@-", "-H", length, url, body=body))
    scores = next(output["data"] for output in answer["outputs"] if output["name"] == "SCORES")
    assert len(scores) == 2
    assert min(scores) > 0.3


def test_curl_is_told_what_is_wrong(triton_server: TritonServer, photo: Path) -> None:
    url = f"http://{triton_server.http_address}/v2/models/people_jpeg/infer"
    cut = photo.read_bytes()[:3000]
    length = "Inference-Header-Content-Length: 0"
    status = curl(
        "--data-binary", "@-", "-H", length, "--write-out", "\n%{http_code}", url, body=cut
    )
    text, _, code = status.decode().rpartition("\n")
    assert code == "400"
    assert "truncated" in json.loads(text)["error"]


def test_tritonclient_http(triton_server: TritonServer, photo: Path) -> None:
    content = np.frombuffer(photo.read_bytes(), np.uint8)
    client = http.InferenceServerClient(triton_server.http_address, network_timeout=30.0)
    try:
        image = http.InferInput("IMAGE", list(content.shape), "UINT8")
        image.set_data_from_numpy(content)
        result = client.infer("people_jpeg", [image])
        assert result.as_numpy("KEYPOINTS").shape == (2, 17, 3)
        short = http.InferInput("IMAGE", [100], "UINT8")
        short.set_data_from_numpy(content[:100])
        with pytest.raises(InferenceServerException, match="truncated"):
            client.infer("people_jpeg", [short])
    finally:
        client.close()
