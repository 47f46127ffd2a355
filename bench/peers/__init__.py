"""Others who do the task or a part of it, one file each, which offers `make(rig)`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

from bench.sim import FrameSet, RigArrays
from tipoff.errors import NotFoundError


class Peer(Protocol):
    """What a module of bench/peers offers as `make(rig)`."""

    name: str
    """Who it is, with its version and the part of the task that it does."""

    def prepare(self, frame_set: FrameSet) -> Any:
        """Its input of a frame-set; not timed."""

    def run(self, prepared: Any) -> None:
        """Do the work on it; timed."""


def load_peer(name: str, rig: RigArrays) -> Peer | None:
    """The peer of that name, for a rig; None for "none".

    Raises:
        NotFoundError: bench/peers has no such file.
    """
    if name == "none":
        return None
    if importlib.util.find_spec(f"bench.peers.{name}") is None:
        raise NotFoundError(f"there is no peer {name!r} in bench/peers", peer=name)
    peer: Peer = importlib.import_module(f"bench.peers.{name}").make(rig)
    return peer
