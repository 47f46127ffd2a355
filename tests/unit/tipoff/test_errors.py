"""Errors carry what a program and a person need, and survive being sent to another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from tipoff import errors
from tipoff.errors import InvalidInputError, TimeOutOfRangeError, TipoffError


def _tree(root: type[TipoffError] = TipoffError) -> Iterator[type[TipoffError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def test_a_message_and_the_ids() -> None:
    error = InvalidInputError("camera cam7 is unknown; the rig has cam1, cam2", camera="cam7", n=2)
    assert str(error) == "camera cam7 is unknown; the rig has cam1, cam2"
    assert error.ids == {"camera": "cam7", "n": 2}


@pytest.mark.parametrize("kind", list(_tree()), ids=lambda kind: kind.__name__)
def test_each_has_a_grpc_status_and_an_exit_code(kind: type[TipoffError]) -> None:
    assert kind.status in grpc.StatusCode.__members__
    assert 1 <= kind.exit_code < 128
    assert kind.retryable == (kind.status in {"UNAVAILABLE", "DEADLINE_EXCEEDED"})


@pytest.mark.parametrize("kind", list(_tree()), ids=lambda kind: kind.__name__)
def test_each_survives_a_pickle(kind: type[TipoffError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("why", track=3)))
    assert type(copy) is kind
    assert (str(copy), copy.ids) == ("why", {"track": 3})


def test_they_are_also_what_python_calls_them() -> None:
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(TimeOutOfRangeError, InvalidInputError)
    assert issubclass(errors.NotFoundError, LookupError)
    assert issubclass(errors.DeadlineError, TimeoutError)


def test_importing_them_loads_the_standard_library_alone() -> None:
    code = (
        "import sys; import tipoff.errors; "
        "bad = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names); "
        "print(sorted(m for m in bad if not m.startswith(('_', 'sitecustomize'))))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['tipoff']"
