"""Cameras that show what another one shows.

Duplicated are two cameras whose small pictures are the same up to contrast and brightness, for
long enough. The one whose picture jumped when it began is the copy; where neither did, nobody can
say which one is in its place, and both are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_node.cameras.sight import Sight
    from edge_node.cameras.verdict import WatchOptions

_S = 1_000_000_000
_MS = 1_000_000
CUT_NS = _S
"""So long before two cameras became alike the one that is the copy jumped, at most."""
PAIRS_EVERY_NS = 40 * _MS
"""Pairs are compared no more often."""
FEW_LOOKS = 5
"""Looks on which a median share rests, at least."""


class Seen(Protocol):
    """The part of a camera that is used here."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def sight(self) -> Sight:
        """What its pixels have shown."""


class Alike:
    """Follows which cameras show the same, and for how long.

    Args:
        options: When pictures are alike.
    """

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self._alike_since: dict[tuple[int, int], int] = {}
        self._copies: dict[tuple[int, int], tuple[int, ...]] = {}
        self._compared_ns = -_S

    def forget(self, camera: int) -> None:
        """Forget what was found about a camera."""
        self._alike_since = {p: t for p, t in self._alike_since.items() if camera not in p}
        self._copies = {p: c for p, c in self._copies.items() if camera not in p}

    def find(self, cameras: Sequence[Seen], fresh: Sequence[int], now_ns: int) -> dict[int, str]:
        """Find the cameras that show what another one shows.

        Args:
            cameras: All, in the rig's order.
            fresh: Indices of those of which frames come.
            now_ns: Now.

        Returns:
            By camera, whose picture it is, in words.
        """
        if now_ns - self._compared_ns >= PAIRS_EVERY_NS:
            self._compared_ns = now_ns
            pairs = _pictures_alike(cameras, fresh, self._options) + _marks_alike(cameras, fresh)
            self._alike_since = {p: self._alike_since.get(p, now_ns) for p in pairs}
        copies: dict[int, str] = {}
        for pair, since_ns in self._alike_since.items():
            if now_ns - since_ns < self._options.alike_ns:
                continue
            if pair not in self._copies:
                self._copies[pair] = self._jumped(cameras, pair, since_ns - CUT_NS)
            for copy in self._copies[pair]:
                other = cameras[sum(pair) - copy].name
                copies[copy] = f"it shows what {other} shows"
        self._copies = {p: c for p, c in self._copies.items() if p in self._alike_since}
        return copies

    def _jumped(
        self, cameras: Sequence[Seen], pair: tuple[int, int], since_ns: int
    ) -> tuple[int, ...]:
        """Say which of two is the copy: the one whose picture jumped, else both."""
        least = [
            min((step for at, step in cameras[c].sight.steps if at >= since_ns), default=1.0)
            for c in pair
        ]
        if abs(least[0] - least[1]) < self._options.jump:
            return pair
        return (pair[int(least[1] < least[0])],)


def _pictures_alike(
    cameras: Sequence[Seen], fresh: Sequence[int], options: WatchOptions
) -> list[tuple[int, int]]:
    """Pairs of which either one's newest look is among the other's last ones."""
    shown = [index for index in fresh if cameras[index].sight.contrast >= options.plain_levels]
    if len(shown) < 2:
        return []
    newest = np.stack([cameras[index].sight.normals[-1] for index in shown])
    best = np.zeros((len(shown), len(shown)))
    for column, index in enumerate(shown):
        echoes = np.stack(list(cameras[index].sight.normals))
        best[:, column] = (newest @ echoes.T).max(axis=1)
    alike = np.argwhere(np.triu(np.maximum(best, best.T) >= options.alike, 1))
    return [(shown[a], shown[b]) for a, b in alike]


def _marks_alike(cameras: Sequence[Seen], fresh: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of recorded cameras whose last keypoints are the same to the bit."""
    marks = {index: list(cameras[index].sight.marks) for index in fresh}
    known = {index: last for index, last in marks.items() if len(last) >= FEW_LOOKS}
    return [
        (a, b)
        for a in known
        for b in known
        if a < b and len(set(known[a][-FEW_LOOKS:]) & set(known[b])) == FEW_LOOKS
    ]
