"""One colour for each track, the same in pictures and reports."""

from __future__ import annotations

PALETTE = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (152, 223, 138),
    (197, 176, 213),
    (255, 152, 150),
    (158, 218, 229),
    (196, 156, 148),
)
"""Red, green and blue, told apart by most who see colours differently (after Okabe and Ito)."""


def track_colour(track: int) -> tuple[int, int, int]:
    """Give a track's colour as red, green, blue."""
    return PALETTE[(track - 1) % len(PALETTE)]


def as_hex(colour: tuple[int, int, int]) -> str:
    """Write a colour as HTML does."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
