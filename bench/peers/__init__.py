"""Others who do the task or a part of it, one file each, which offers `make(rig)`.

    $ .venv/bin/pip install -e '.[peers]'
    $ .venv/bin/pip install --no-deps aniposelib==0.8.0 pose2sim==0.10.49

Without their dependencies, because these bring another OpenCV, OpenSim and a GUI; `peers` holds
what they really need here. A peer that is not installed is left out, and the suite says so.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bench.arrays import Floats, Ints
from bench.sim import FrameSet, RigArrays
from tipoff.errors import NotFoundError

INSTALL = "pip install -e '.[peers]' and pip install --no-deps aniposelib==0.8.0 pose2sim==0.10.49"


@dataclass(frozen=True, slots=True)
class Found:
    """The people that a peer found in a frame-set."""

    ids: Ints
    """(T,) identities."""
    joints_m: Floats
    """(T, J, 3) metres, NaN where a joint is not given."""


class Peer(Protocol):
    """What a module of bench/peers offers as `make(rig)`."""

    name: str
    """Who it is, with its version."""
    does: str
    """The part of the task that it does."""

    def prepare(self, frame_set: FrameSet) -> Any:
        """Its input of a frame-set; not timed."""

    def run(self, prepared: Any) -> Any:
        """Do the work on it; timed."""


@runtime_checkable
class Placing(Protocol):
    """A peer whose work ends in positions, so that it can be scored as well."""

    def found(self, result: Any) -> Found:
        """What `run` gave, as people; not timed."""

    def forget(self) -> None:
        """Begin anew, as with the first frame-set."""


def load_peer(name: str, rig: RigArrays) -> Peer | None:
    """The peer of that name, for a rig; None for "none".

    Raises:
        NotFoundError: bench/peers has no such file, or what it measures is not installed.
    """
    if name == "none":
        return None
    if importlib.util.find_spec(f"bench.peers.{name}") is None:
        raise NotFoundError(f"there is no peer {name!r} in bench/peers", peer=name)
    try:
        peer: Peer = importlib.import_module(f"bench.peers.{name}").make(rig)
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"peer {name} is not installed ({error.name} is missing): {INSTALL}", peer=name
        ) from error
    return peer


def load_peers(names: list[str], rig: RigArrays) -> tuple[list[Peer], list[str]]:
    """The peers that are installed, and a note for each that is not.

    Raises:
        NotFoundError: bench/peers has no file of one of these names.
    """
    peers, notes = [], []
    for name in names:
        if importlib.util.find_spec(f"bench.peers.{name}") is None and name != "none":
            raise NotFoundError(f"there is no peer {name!r} in bench/peers", peer=name)
        try:
            peer = load_peer(name, rig)
        except NotFoundError as error:
            notes.append(f"Left out: {error}.")
            continue
        if peer is not None:
            peers.append(peer)
    return peers, notes
