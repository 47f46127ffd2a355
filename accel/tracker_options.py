"""What a tracker is told before its first frame, and how it goes to the core and comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel import _core
from accel.errors import InvalidInputError
from accel.skeleton import COCO17, Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """What a tracker is told before its first frame; the defaults suit any rig."""

    skeleton: Skeleton = COCO17
    """The joints of every detection, and how they hang together."""
    max_delay_ms: float = 100.0
    """How late an observation may come, and how far back a snapshot may be asked."""
    max_coast_ms: float = 250.0
    """How long a track is reported without an observation."""
    max_lost_ms: float = 1000.0
    """How long an unobserved track is kept, unreported, so that its identity may be found again."""
    max_std_m: float = 0.15
    """A joint is known when its largest standard deviation is at most this."""
    sigma_px: float = 4.0
    """Keypoint noise that is assumed until it has been learned, per camera, from the residuals."""
    certain_views: int = 3
    """Views that make a person certain in the first frame; with fewer it takes some frames."""
    lag_ms: float = 100.0
    """How much later observations than its own a smoothed snapshot rests on."""
    isa: str = "auto"
    """The instruction set of the kernels: auto, baseline or avx2. It chooses the speed; the results
    are the same to the bit."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("max_delay_ms", "max_coast_ms", "max_lost_ms", "lag_ms"):
            value = getattr(self, name)
            if not 0.0 <= value <= 3.6e6:
                raise InvalidInputError(
                    f"TrackerOptions.{name} is {value}; give milliseconds from 0 to an hour",
                    field=name,
                )
        for name in ("max_std_m", "sigma_px"):
            value = getattr(self, name)
            if not 0.0 < value < 1e6:
                raise InvalidInputError(
                    f"TrackerOptions.{name} is {value}; give a positive number", field=name
                )
        if self.isa not in ("auto", *_core.instruction_sets()):
            raise InvalidInputError(
                f"TrackerOptions.isa is {self.isa!r}; this processor has"
                f" {', '.join(_core.instruction_sets())}: give one of these or auto",
                field="isa",
            )
        if self.certain_views < 2:
            raise InvalidInputError(
                f"TrackerOptions.certain_views is {self.certain_views}; it takes two views at least"
                " to place anybody",
                field="certain_views",
            )

    def _native(self) -> dict[str, object]:
        skeleton = self.skeleton
        return {
            "skeleton": {
                "joints": len(skeleton.joints),
                "limbs": list(skeleton.limbs),
                "mirror": list(skeleton.mirror),
                "trunk": list(skeleton.trunk),
                "parents": list(skeleton.parents),
            },
            "max_delay_ns": round(self.max_delay_ms * 1e6),
            "max_coast_ns": round(self.max_coast_ms * 1e6),
            "max_lost_ns": round(self.max_lost_ms * 1e6),
            "max_std_m": self.max_std_m,
            "sigma_px": self.sigma_px,
            "certain_views": self.certain_views,
            "lag_ns": round(self.lag_ms * 1e6),
            "isa": self.isa,
            "label": json.dumps([skeleton.name, skeleton.joints, skeleton.edges]),
        }

    @classmethod
    def _of_native(cls, native: Mapping[str, Any]) -> TrackerOptions:
        name, joints, edges = json.loads(native["label"])
        bones = native["skeleton"]
        skeleton = Skeleton(
            name=name,
            joints=tuple(joints),
            edges=tuple((a, b) for a, b in edges),
            limbs=tuple((a, b) for a, b in bones["limbs"]),
            mirror=tuple(bones["mirror"]),
            trunk=tuple(bones["trunk"]),
            parents=tuple(bones["parents"]),
        )
        return cls(
            skeleton=skeleton,
            max_delay_ms=native["max_delay_ns"] / 1e6,
            max_coast_ms=native["max_coast_ns"] / 1e6,
            max_lost_ms=native["max_lost_ns"] / 1e6,
            max_std_m=native["max_std_m"],
            sigma_px=native["sigma_px"],
            certain_views=native["certain_views"],
            lag_ms=native["lag_ns"] / 1e6,
            isa=native["isa"],
        )
