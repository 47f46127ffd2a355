"""Reading and writing camera calibrations: one module a format, told apart by content.

`Rig.load` and `Rig.save` are the way in. A folder is searched for the files of exactly one
calibration; of a format in two files, either file leads to the other one in its folder.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from accel.calibration import anipose, colmap, opencv_yaml, qualisys
from accel.calibration.record import MAX_FILE_BYTES, CameraRecord, Place, decode, read_bytes
from accel.errors import CalibrationFileError

__all__ = ["CameraRecord", "read_cameras", "write_cameras"]

FORMATS = (anipose.FORMAT, qualisys.FORMAT, opencv_yaml.FORMAT, colmap.FORMAT)
MAX_FOLDER_FILES = 256
"""How many files of a folder are looked at."""

_Read = Callable[[float | None], list[CameraRecord]]
_BINARY_COLMAP = ("cameras.bin", "images.bin")


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that is a calibration, or half of one."""

    path: Path
    format: str
    part: str
    """`whole`, `intrinsics` or `extrinsics`."""
    content: object
    """What the format's reader takes."""


def read_cameras(path: str | os.PathLike[str], scale: float | None) -> list[CameraRecord]:
    """The cameras of a calibration file, pair of files or folder.

    Args:
        path: A file or a folder.
        scale: Metres per unit of the file; None is what the format says.

    Raises:
        CalibrationFileError: With file, camera, field and remedy.
    """
    place = Path(path)
    try:
        is_folder = place.is_dir()
    except (OSError, ValueError) as error:
        raise Place(place).error(f"cannot be read: {error}", "check the path") from error
    cameras = (_of_folder(place) if is_folder else _of_file(place))(scale)
    if not cameras:
        raise Place(place).error("holds no camera", "give a calibration with cameras")
    return cameras


def _of_file(path: Path) -> _Read:
    found = _recognise(path)
    if found is None:
        raise Place(path).error(
            f"is no calibration that is known here ({', '.join(FORMATS)})",
            "export it in one of these formats",
        )
    if found.part == "whole":
        return _reader(found, found)
    others = [
        other
        for other in _of_files(path.parent)
        if other.format == found.format and other.part != found.part
    ]
    return _pair([found, *_named_alike(found, others)], path)


def _of_folder(path: Path) -> _Read:
    found = list(_of_files(path))
    wholes = [each for each in found if each.part == "whole"]
    if not found:
        binary = [name for name in _BINARY_COLMAP if (path / name).exists()]
        hint = (
            "export it by `colmap model_converter --output_type TXT`" if binary else "name a file"
        )
        raise Place(path).error(f"holds no calibration ({', '.join(FORMATS)})", hint)
    if len(wholes) == 1 and len(found) == 1:
        return _reader(found[0], found[0])
    if wholes:
        names = ", ".join(each.path.name for each in found)
        raise Place(path).error(f"holds several calibrations ({names})", "name the one you mean")
    return _pair(found, path)


def _of_files(folder: Path) -> Iterator[_Found]:
    with suppress(OSError):
        for path in sorted(folder.iterdir())[:MAX_FOLDER_FILES]:
            # A neighbour that cannot be read is not the calibration that was asked for.
            with suppress(CalibrationFileError, OSError):
                found = _recognise(path) if _may_be_text(path) else None
                if found is not None and _is_meant(found):
                    yield found


def _may_be_text(path: Path) -> bool:
    """Whether it is worth reading: pictures and videos have zeros at their beginning."""
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return b"\x00" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff"))


def _is_meant(found: _Found) -> bool:
    return not isinstance(found.content, bytes) or qualisys.is_calibration(found.content)


def _named_alike(found: _Found, others: Sequence[_Found]) -> Sequence[_Found]:
    """Of several partners the one whose name differs by intri/extri or cameras/images alone."""
    swaps = (("intri", "extri"), ("cameras", "images"))
    names = {found.path.name.replace(a, b) for a, b in swaps}
    names |= {found.path.name.replace(b, a) for a, b in swaps}
    alike = [other for other in others if other.path.name in names]
    return alike if len(alike) == 1 else others


def _pair(found: Sequence[_Found], path: Path) -> _Read:
    inner = [each for each in found if each.part == "intrinsics"]
    outer = [each for each in found if each.part == "extrinsics"]
    if len({each.format for each in found}) > 1 or len(inner) > 1 or len(outer) > 1:
        names = ", ".join(each.path.name for each in found)
        raise Place(path).error(f"may belong to several calibrations ({names})", "keep one pair")
    for part, half in (("intrinsics", inner), ("extrinsics", outer)):
        if not half:
            raise Place(path).error(
                f"lacks its other file, the {part} of {found[0].format}",
                "put both into one folder (intri.yml and extri.yml, cameras.txt and images.txt)",
            )
    return _reader(inner[0], outer[0])


def _recognise(path: Path) -> _Found | None:
    data = read_bytes(path)
    if qualisys.recognises(data):
        return _Found(path, qualisys.FORMAT, "whole", data)
    text = decode(data, path)
    if opencv_yaml.recognises(text):
        return _recognise_yaml(path, text)
    if colmap.is_cameras(text):
        return _Found(path, colmap.FORMAT, "intrinsics", text)
    if colmap.is_images(text):
        return _Found(path, colmap.FORMAT, "extrinsics", text)
    if "=" not in text:
        return None
    tables = anipose.parse(data, path)
    return _Found(path, anipose.FORMAT, "whole", tables) if anipose.recognises(tables) else None


def _recognise_yaml(path: Path, text: str) -> _Found | None:
    values = opencv_yaml.parse(text, path)
    inner, outer = opencv_yaml.has_intrinsics(values), opencv_yaml.has_extrinsics(values)
    if not inner and not outer:
        return None
    part = "whole" if inner and outer else "intrinsics" if inner else "extrinsics"
    return _Found(path, opencv_yaml.FORMAT, part, values)


def _reader(inner: _Found, outer: _Found) -> _Read:
    """What reads the cameras; `inner` and `outer` are the same for a format in one file."""

    def read(scale: float | None) -> list[CameraRecord]:
        first, second = inner.content, outer.content
        if isinstance(first, bytes):
            return qualisys.read(first, inner.path, scale)
        if isinstance(first, str) and isinstance(second, str):
            return colmap.read((inner.path, first), (outer.path, second), scale)
        if not isinstance(first, dict) or not isinstance(second, dict):
            raise TypeError(f"no reader for {inner.format}")
        if inner.format == opencv_yaml.FORMAT:
            return opencv_yaml.read((inner.path, first), (outer.path, second), scale)
        return anipose.read(first, inner.path, scale)

    return read


def write_cameras(path: str | os.PathLike[str], cameras: Sequence[CameraRecord]) -> None:
    """Write anipose TOML: the whole file or, where that fails, none of it.

    Raises:
        CalibrationFileError: The folder is missing or cannot be written to.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(anipose.write(cameras))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            temporary.unlink()
        raise _cannot_write(target, error) from error


def _cannot_write(path: Path, error: Exception) -> CalibrationFileError:
    return Place(path).error(f"cannot be written: {error}", "check the folder and its rights")
