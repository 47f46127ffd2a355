"""What a session rests on: what cannot be is refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.live.config import read_session
from edge_node.live.opening import open_parts
from tests.support.nodes import write_session
from tests.support.rigs import ring_rig
from tipoff.errors import InvalidInputError


def test_recordings_with_times_of_their_own_stand_beside_no_other_source(tmp_path: Path) -> None:
    rig = ring_rig(4)
    rig.save(tmp_path / "rig.toml")
    file = write_session(tmp_path, rig.names)
    text = file.read_text()
    file.write_text(text.replace("loop = false }", "loop = false, shift = false }", 1))
    settings = read_session(file)
    with (
        pytest.raises(InvalidInputError, match="keep their own times"),
        open_parts(settings, lambda _line: None),
    ):
        pass
