"""A room of people seen as boxes, a few frames a second: what `suite=cmc` has, with perfect truth.

Everything that makes boxes hard is there: a box errs as a whole (the same shift for all its points,
in metres on the body), its lower edge is where a nearer person begins, some are missing, some are
nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.arrays import Floats

SIZE = (1920, 1024)
"""Width and height of the images, pixels."""
FOCAL_PX = 1250.0
WIDTH_M = 0.55
"""How wide an upright person is."""


@dataclass(frozen=True, slots=True)
class BoxRoomOptions:
    """Options of a room."""

    people: int = 5
    """How many walk about, all of them from the first frame on."""
    frames: int = 200
    """How many frames there are."""
    fps: float = 4.0
    """Frames a second, of all cameras at once."""
    half_m: tuple[float, float] = (3.0, 2.5)
    """Half the room along x and y; a camera hangs in each corner, 2 m outside."""
    apart_m: float = 0.6
    """People come no nearer to each other than this."""
    speed_mps: float = 0.9
    """How fast they walk."""
    shift_m: float = 0.07
    """Standard deviation of a whole box's error, on the body."""
    edge_m: float = 0.03
    """Standard deviation of one edge's own error."""
    miss: float = 0.05
    """Chance that a box is missing."""
    false_rate: float = 0.3
    """Boxes of nobody, a camera and frame."""
    seed: int = 1
    """Of everything that is random."""


@dataclass(frozen=True, slots=True)
class BoxFrame:
    """One frame of all cameras."""

    time_ns: int
    """When it was taken."""
    boxes: list[Floats]
    """Each camera's boxes (N, 4): left, top, width, height, pixels."""
    places_m: Floats
    """(people, 2) where everybody stands, metres."""


def cameras(options: BoxRoomOptions) -> Floats:
    """(4, 3, 4) world metres to pixels: one camera in each corner, 2.8 m up, towards the middle."""
    out = []
    x, y = options.half_m[0] + 2.0, options.half_m[1] + 2.0
    for corner in ([x, y], [-x, y], [-x, -y], [x, -y]):
        eye = np.array([*corner, 2.8])
        ahead = np.array([0.0, 0.0, 0.9]) - eye
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(ahead, right), ahead])
        K = np.array([[FOCAL_PX, 0, SIZE[0] / 2], [0, FOCAL_PX, SIZE[1] / 2], [0, 0, 1]])
        out.append(K @ np.column_stack([R, -R @ eye]))
    return np.array(out)


def play(options: BoxRoomOptions) -> Iterator[BoxFrame]:
    """Frames of the room; the same options give the same frames."""
    random = np.random.default_rng(options.seed)
    matrices = cameras(options)
    heights = random.uniform(1.55, 1.95, options.people)
    for number, places in enumerate(_walk(options, random)):
        tops = np.column_stack([places, heights])
        feet = np.column_stack([places, np.zeros(options.people)])
        boxes = [_boxes(matrix, tops, feet, options, random) for matrix in matrices]
        yield BoxFrame(round(number * 1e9 / options.fps), boxes, places)


def _walk(options: BoxRoomOptions, random: np.random.Generator) -> Iterator[Floats]:
    """Places of everybody: towards goals of their own, turning aside from each other."""
    half = np.array(options.half_m)
    places = _spread(options, random)
    velocity = np.zeros_like(places)
    goals = random.uniform(-half, half, places.shape)
    step_s, parts = 1.0 / options.fps, 10
    for _ in range(options.frames):
        yield places.copy()
        for _ in range(parts):
            reached = np.linalg.norm(goals - places, axis=1) < 0.4
            goals[reached] = random.uniform(-half, half, (int(reached.sum()), 2))
            wish = goals - places
            wish *= options.speed_mps / np.linalg.norm(wish, axis=1, keepdims=True)
            velocity += (wish - velocity) * (step_s / parts / 0.4)
            places += velocity * (step_s / parts)
            _part(places, options.apart_m)


def _spread(options: BoxRoomOptions, random: np.random.Generator) -> Floats:
    """First places, nobody on top of another."""
    half = np.array(options.half_m)
    places = random.uniform(-half, half, (options.people, 2))
    for _ in range(50):
        _part(places, 1.5 * options.apart_m)
    return np.asarray(places)


def _part(places: Floats, apart_m: float) -> None:
    """Pushes apart who is nearer to each other than they may be."""
    gap = places[:, None] - places[None]
    distance = np.linalg.norm(gap, axis=2) + np.eye(len(places)) * 1e9
    push = np.clip(apart_m - distance, 0.0, None) / 2
    places += (gap / distance[..., None] * push[..., None]).sum(axis=1)


def _boxes(
    matrix: Floats, tops: Floats, feet: Floats, options: BoxRoomOptions, random: np.random.Generator
) -> Floats:
    """What a detector makes of everybody in one camera, and of nobody."""
    head, depth = _image(matrix, tops)
    foot, _ = _image(matrix, feet)
    scale = FOCAL_PX / depth
    shift = random.normal(0.0, options.shift_m, head.shape) * scale[:, None]
    edges = random.normal(0.0, options.edge_m, (len(head), 4)) * scale[:, None]
    u = (head[:, 0] + foot[:, 0]) / 2 + shift[:, 0]
    half = WIDTH_M / 2 * scale
    left, right = u - half + edges[:, 0], u + half + edges[:, 1]
    top, bottom = head[:, 1] + shift[:, 1] + edges[:, 2], foot[:, 1] + shift[:, 1] + edges[:, 3]
    for k in np.argsort(depth):
        front = (depth < depth[k]) & (left < u[k]) & (u[k] < right) & (top < bottom[k])
        if front.any() and random.random() < 0.5:  # half the time the feet are guessed right
            bottom[k] = max(float(top[front].min()), float(top[k]) + 0.4 * (bottom[k] - top[k]))
    left, right = np.clip(left, 0, SIZE[0]), np.clip(right, 0, SIZE[0])
    top, bottom = np.clip(top, 0, SIZE[1]), np.clip(bottom, 0, SIZE[1])
    seen = (right - left > 20) & (bottom - top > 60) & (random.random(len(u)) >= options.miss)
    boxes = np.column_stack([left, top, right - left, bottom - top])[seen]
    return np.concatenate([boxes, _nobody(options, random)])


def _nobody(options: BoxRoomOptions, random: np.random.Generator) -> Floats:
    """Boxes of nobody, anywhere."""
    count = random.poisson(options.false_rate)
    size = random.uniform((80, 200), (200, 500), (count, 2))
    corner = random.uniform(0, 1, (count, 2)) * (np.array(SIZE) - size)
    return np.concatenate([corner, size], axis=1)


def _image(matrix: Floats, points: Floats) -> tuple[Floats, Floats]:
    """Pixels (N, 2) and depths (N,) of points (N, 3)."""
    image = points @ matrix[:, :3].T + matrix[:, 3]
    return np.asarray(image[:, :2] / image[:, 2:]), np.asarray(image[:, 2])
