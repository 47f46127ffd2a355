"""What the bulk engine is told, and how much memory it takes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from accel.errors import InvalidInputError
from accel.skeleton import COCO17, Skeleton

MIB = 1 << 20
_BYTES = 8


@dataclass(frozen=True, slots=True)
class ResolveOptions:
    """Options of `resolve`; the defaults suit a game of 60 frames a second."""

    skeleton: Skeleton = COCO17
    """The joints, their sides and limbs."""
    body: bool = True
    """Whether the joints of a body are smoothed together, with the lengths of its limbs; else each
    by itself, which is about seven times as fast and a third less accurate."""
    order: int = 3
    """Derivatives of the motion: 3 (an acceleration that fades within 50 ms), or 2 (white
    acceleration: half the time, 3 to 5 % less accurate, covariances rather too large)."""
    chunk_s: float = 16.0
    """Play that a chunk answers for."""
    overlap_s: float = 2.0
    """Play before and after a chunk that is solved with it, so that chunks meet without a seam."""
    max_gap_s: float = 1.0
    """A person whom no camera saw for longer begins anew."""
    max_std_m: float = 0.15
    """A joint is told while its largest standard deviation is at most this."""
    sigma_px: float = 4.0
    """Keypoint noise before any of it is learned."""
    learn_s: float = 48.0
    """Play, spread over the game, from which noise, motion and limbs are learned."""
    memory_mib: int = 1024
    """Working memory: bodies and chunks are solved together as far as they fit in."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        least = {"chunk_s": 0.1, "overlap_s": 0.0, "max_gap_s": 0.01, "max_std_m": 1e-6}
        least |= {"sigma_px": 0.01, "learn_s": 0.5, "memory_mib": 64}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in least and not least[field.name] <= value <= 1e6:
                raise InvalidInputError(
                    f"ResolveOptions.{field.name} is {value}; give {least[field.name]:g} to 1e6",
                    field=field.name,
                )
        if self.order not in {2, 3}:
            raise InvalidInputError(
                f"ResolveOptions.order is {self.order}; give 2 or 3", field="order"
            )

    def body_step_bytes(self, cameras: int) -> int:
        """Bytes that one body takes for one step while it is solved."""
        joints = len(self.skeleton.joints)
        size, alone = 3 * joints, 3
        body = (self.order * size + size) * size if self.body else 0
        each = joints * (self.order * alone + alone) * alone
        views = joints * cameras * 3 // 2
        return _BYTES * (max(body, each) + joints * (60 + 4 * self.order) + views)
