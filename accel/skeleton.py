"""Skeletons are data: which joints there are, how they hang together, and what is known of them.

The tracker, the triangulation and the drawing code read a `Skeleton`; none of them knows COCO.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A set of named joints with their limbs."""

    name: str
    """Short name, such as `coco17`."""
    joints: tuple[str, ...]
    """Joint names, J of them; their order is the order of every array."""
    edges: tuple[tuple[int, int], ...]
    """Pairs of joints that a drawing connects."""
    limbs: tuple[tuple[int, int], ...]
    """Pairs of joints at a constant distance on one body (upper arms, thighs, hips, ...)."""
    mirror: tuple[int, ...]
    """For every joint the one on the other side of the body, itself where there is none."""
    trunk: tuple[int, ...]
    """The joints that move with the whole body; others may be faster."""
    parents: tuple[int, ...]
    """For every joint the joint that it hangs from, -1 for roots."""

    def __post_init__(self) -> None:
        """Refuse a skeleton whose indices do not fit its joints."""
        count = len(self.joints)
        if not 0 < count <= 64 or len(set(self.joints)) != count:
            raise ValueError("a skeleton needs 1 to 64 joints with names of their own")
        if len(self.mirror) != count or len(self.parents) != count:
            raise ValueError("mirror and parents need one entry for each joint")
        pairs = [*self.edges, *self.limbs]
        used = [*self.mirror, *self.trunk, *(joint for pair in pairs for joint in pair)]
        if any(not 0 <= joint < count for joint in used):
            raise ValueError(f"a joint index lies outside 0..{count - 1}")
        if any(not -1 <= parent < count for parent in self.parents):
            raise ValueError(f"a parent lies outside -1..{count - 1}")

    @property
    def limb_names(self) -> tuple[str, ...]:
        """`a-b` for each limb."""
        return tuple(f"{self.joints[a]}-{self.joints[b]}" for a, b in self.limbs)


_COCO_JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

_COCO_ARMS_AND_LEGS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))

COCO17 = Skeleton(
    name="coco17",
    joints=_COCO_JOINTS,
    edges=(
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (5, 6),
        (5, 11),
        (6, 12),
        (11, 12),
        *_COCO_ARMS_AND_LEGS,
    ),
    limbs=(*_COCO_ARMS_AND_LEGS, (5, 6), (11, 12), (5, 11), (6, 12)),
    mirror=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    trunk=(5, 6, 11, 12),
    parents=(5, 0, 0, 0, 0, -1, 5, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
)
"""The 17 keypoints of COCO, in its order."""
