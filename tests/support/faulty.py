"""Recorded games in which what a camera says is wrong for a while, though its pictures are well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.sim import Arena, FrameSet, View, preset
from edge_node.cameras.observations import Row, write_observations
from tests.support.nodes import Session

S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with cameras for a while."""

    state: str
    """What they are to be called."""
    cameras: tuple[int, ...]
    """Whose: one that is late, or two whose streams are exchanged."""
    from_s: float
    """Since when, in the game's time."""
    to_s: float
    """Until when."""
    frames: int = 1
    """By how many frames one is late."""

    def spoil(self, frame_set: FrameSet, earlier: dict[int, FrameSet]) -> FrameSet:
        """Give a frame-set as the cameras show it; ``earlier`` holds what was true before."""
        views = {view.camera: view for view in frame_set.views}
        if self.state == "late":
            past = {view.camera: view for view in earlier[frame_set.index - self.frames].views}
            shown = {camera: past[camera] for camera in self.cameras}
        else:
            one, other = self.cameras
            shown = {one: views[other], other: views[one]}
        for camera, view in shown.items():
            own = views[camera]
            views[camera] = View(camera, own.capture_time_ns, view.keypoints, view.person)
        return FrameSet(frame_set.index, tuple(views[view.camera] for view in frame_set.views))


@dataclass(frozen=True, slots=True)
class Night:
    """A game and what goes wrong in it."""

    troubles: tuple[Trouble, ...]
    """One after the other."""
    rate_hz: int = 30
    """Frames a second."""
    people: int = 10
    """On court."""
    rest_s: float = 4.0
    """Play after the last trouble."""
    seed: int = 1
    """Of the game."""
    arena: Arena = field(init=False)
    """What truly happens; people run as they do in a game."""

    def __post_init__(self) -> None:
        """Plan the game."""
        frames = round((max(t.to_s for t in self.troubles) + self.rest_s) * self.rate_hz)
        plan = preset("standard", cameras=8, people=self.people, frames=frames, seed=self.seed)
        object.__setattr__(self, "arena", Arena(replace(plan, fps=float(self.rate_hz))))

    def rows(self) -> Iterator[Row]:
        """Give what the cameras show, frame by frame."""
        names = self.arena.rig.names
        most = max(trouble.frames for trouble in self.troubles)
        earlier: dict[int, FrameSet] = {}
        for frame_set in self.arena.frame_sets():
            earlier[frame_set.index] = frame_set
            earlier.pop(frame_set.index - most - 1, None)
            shown = frame_set
            for trouble in self.troubles:
                if trouble.from_s <= frame_set.index / self.rate_hz < trouble.to_s:
                    shown = trouble.spoil(frame_set, earlier)
            for view in shown.views:
                yield names[view.camera], view.capture_time_ns, view.keypoints


def make_session(folder: Path, night: Night) -> Session:
    """Write the recording and the session file that plays it."""
    night.arena.accel_rig().save(folder / "rig.toml")
    write_observations(folder / "night.parquet", night.rows())
    cameras = "\n".join(f'{name} = "night.parquet"' for name in night.arena.rig.names)
    (folder / "night.toml").write_text(f"""name = "night"
node = "courtside"
rig = "rig.toml"
state = "state"
area = "all"

[cameras]
{cameras}

[tracking]
rate_hz = {night.rate_hz}

[ring]
minutes = 0

[listen]
subscribers = "127.0.0.1:0"
metrics = "127.0.0.1:0"
""")
    return Session(folder / "night.toml")
