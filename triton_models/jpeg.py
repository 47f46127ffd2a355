"""Looking into a JPEG before anything decodes it: whole, of a size that can be used."""

from __future__ import annotations

from tipoff.errors import InvalidInputError

START = b"\xff\xd8"
END = b"\xff\xd9"
MIN_SIDE_PX = 16

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_TRUNCATED = "the JPEG is truncated: {}; send the whole file"


def check_jpeg(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Refuse bytes that are no JPEG, not a whole one, or one of a size that cannot be used.

    Args:
        data: The file's bytes.
        max_pixels: Most pixels that may be decoded.

    Returns:
        Width and height in pixels as stored, before any EXIF rotation.

    Raises:
        InvalidInputError: what is wrong, and what to do.
    """
    if not data:
        raise InvalidInputError("the image is empty: send the bytes of a JPEG file")
    if not data.startswith(START):
        raise InvalidInputError(
            f"this is no JPEG (it begins with {data[:4].hex(' ')}, a JPEG with ff d8): "
            "convert it to JPEG, or send raw pixels to people_frame"
        )
    width, height, scan = _frame_header(data)
    _check_size(width, height, max_pixels)
    if data.rfind(END) < scan:
        raise InvalidInputError(_TRUNCATED.format(f"its {len(data)} bytes have no end marker"))
    return width, height


def _frame_header(data: bytes) -> tuple[int, int, int]:
    """Walk the segments; return width, height and where the first scan begins."""
    at, size = len(START), None
    while True:
        marker, at = _next_marker(data, at)
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or at + length > len(data):
            raise InvalidInputError(_TRUNCATED.format(f"it ends in segment ff {marker:02x}"))
        if marker == _START_OF_SCAN:
            break
        if marker in _START_OF_FRAME:
            size = _dimensions(data[at : at + length])
        at += length
    if size is None:
        raise InvalidInputError("the JPEG has no frame header: the file is damaged")
    return (*size, at)


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Return a marker and where its segment begins; fill bytes before it are skipped."""
    if at >= len(data):
        raise InvalidInputError(_TRUNCATED.format("it ends before its picture begins"))
    if data[at] != 0xFF:
        raise InvalidInputError(f"the JPEG is damaged: no marker at byte {at}")
    while at < len(data) and data[at] == 0xFF:
        at += 1
    if at >= len(data):
        raise InvalidInputError(_TRUNCATED.format("it ends before its picture begins"))
    return data[at], at + 1


def _dimensions(segment: bytes) -> tuple[int, int]:
    if len(segment) < 8:
        raise InvalidInputError("the JPEG is damaged: its frame header is too short")
    return int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[3:5], "big")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InvalidInputError(
            f"the image says it has {width}x{height} px, more than the {max_pixels} that are "
            "decoded: scale it down first"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise InvalidInputError(
            f"the image has {width}x{height} px: nobody can be found in fewer than "
            f"{MIN_SIDE_PX} px a side"
        )
