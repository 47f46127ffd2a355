"""What made a session's snapshots, beside the observations: rig, options, models, code."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from accel import Rig, Skeleton, Tracker, TrackerOptions, _core
from edge_node.journal.native import native_digest
from tipoff.errors import InvalidInputError, TipoffError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RIG_FIELDS = ("K", "dist", "R", "t", "size", "readout_ms")


@dataclass(frozen=True, slots=True)
class Build:
    """The code that tracked."""

    version: str
    """Of tipoff."""
    native_sha256: str
    """Digest of the native core, in hexadecimal."""
    machine: str = field(default_factory=platform.machine)
    """Kind of processor, such as x86_64."""

    @classmethod
    def here(cls) -> Build:
        """Describe the code that runs here."""
        return cls(metadata.version("tipoff"), native_digest())


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What made a session's snapshots, beside the observations."""

    session: str
    """Name of the session, not empty."""
    rig: Rig
    """The calibrated cameras."""
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    """The tracker's options."""
    isa: str = "auto"
    """Instruction set that the tracker ran on: ``Tracker.isa``."""
    models: tuple[tuple[str, str], ...] = ()
    """Name and ``sha256:<hex>`` of each model that took part."""
    build: Build = field(default_factory=Build.here)
    """The code."""
    node: str = ""
    """Name of the node."""
    world_frame: str = "metres; the calibration's own frame"
    """The world frame in words."""
    time_base: str = "utc"
    """What times count from: ``utc`` or ``recording``."""
    rate_hz: float = 0.0
    """Snapshots per second of play; 0 where it is not known."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """More that is worth keeping; JSON."""

    def new_tracker(self) -> Tracker:
        """Make a tracker as theirs was, on the instruction set that it ran on.

        Raises:
            InvalidInputError: This processor lacks it.
        """
        tracker = Tracker(self.rig, self.tracker)
        if self.isa in ("auto", tracker.isa):
            return tracker
        return Tracker(self.rig, replace(self.tracker, isa=self.isa))

    def differs(self, other: SessionFacts) -> str:
        """Say why a tracker of ``other`` cannot go on with these; empty where it may.

        The code may be another: whether it gives the same bits is seen when it is run again.
        """
        if self.rig.digest() != other.rig.digest():
            return "the rig is another one"
        same = replace(self.tracker, isa="auto") == replace(other.tracker, isa="auto")
        return "" if same else "the tracker's options are others"


def facts_to_json(facts: SessionFacts) -> dict[str, Any]:
    """Give facts as JSON; numbers come back bit for bit."""
    rig = facts.rig
    arrays = {name: getattr(rig, name).tolist() for name in _RIG_FIELDS}
    return {
        "session": facts.session,
        "rig": {"digest": rig.digest(), "names": list(rig.names), **arrays},
        "tracker": asdict(facts.tracker),
        "isa": facts.isa,
        "models": [list(model) for model in facts.models],
        "build": asdict(facts.build),
        "node": facts.node,
        "world_frame": facts.world_frame,
        "time_base": facts.time_base,
        "rate_hz": facts.rate_hz,
        "notes": dict(facts.notes),
    }


def facts_from_json(value: Mapping[str, Any]) -> SessionFacts:
    """Read what :func:`facts_to_json` gave.

    Raises:
        InvalidInputError: It was not that.
    """
    try:
        facts = SessionFacts(
            session=str(value["session"]),
            rig=_rig(value["rig"]),
            tracker=_options(value["tracker"]),
            isa=str(value["isa"]),
            models=tuple((str(name), str(digest)) for name, digest in value["models"]),
            build=Build(**{key: str(text) for key, text in value["build"].items()}),
            node=str(value["node"]),
            world_frame=str(value["world_frame"]),
            time_base=str(value["time_base"]),
            rate_hz=float(value["rate_hz"]),
            notes=dict(value["notes"]),
        )
    except TipoffError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"these are no facts of a session: {error!r}") from error
    if facts.rig.digest() != value["rig"].get("digest"):
        raise InvalidInputError("the rig's numbers do not belong to its digest")
    return facts


def _rig(value: Mapping[str, Any]) -> Rig:
    arrays = {name: np.array(value[name], np.float64) for name in _RIG_FIELDS}
    return Rig(value["names"], **arrays)


def _options(value: Mapping[str, Any]) -> TrackerOptions:
    bones = value["skeleton"]
    skeleton = Skeleton(
        name=bones["name"],
        joints=tuple(bones["joints"]),
        edges=tuple((int(a), int(b)) for a, b in bones["edges"]),
        limbs=tuple((int(a), int(b)) for a, b in bones["limbs"]),
        mirror=tuple(map(int, bones["mirror"])),
        trunk=tuple(map(int, bones["trunk"])),
        parents=tuple(map(int, bones["parents"])),
    )
    known = {key: item for key, item in value.items() if key != "skeleton"}
    # An instruction set that this processor lacks is no reason not to read the journal.
    isa = known["isa"] if known["isa"] in _core.instruction_sets() else "auto"
    return TrackerOptions(skeleton=skeleton, **{**known, "isa": isa})


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Encode JSON so that equal values have equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")
