"""One real Triton server for all tests of a run that only ask it things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from triton_models.client import InferenceClient
from triton_models.server import TritonServer


@pytest.fixture(scope="session")
def triton_server() -> Iterator[TritonServer]:
    """Run the server of the cpu profile, with the user's weights, for the whole session.

    Whoever breaks models or needs options of their own starts another: it takes about 2 s.
    """
    with TritonServer() as server:
        yield server


@pytest.fixture
def triton_client(triton_server: TritonServer) -> Iterator[InferenceClient]:
    """Return a client of the session's server."""
    with InferenceClient(triton_server.grpc_address) as client:
        yield client
