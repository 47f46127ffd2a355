"""Qualisys' `.qca.txt`: XML, millimetres, intrinsics in 1/64 of a pixel.

Per camera: `intrinsic` over 64, the left and top of `fov_video` taken off the centre; `transform`
holds the centre T in mm and r11..r33, whose rows are M: R = diag(1, -1, -1) M, t = -R T. The name
is `serial`. Cameras that are not `active`, and markers' cameras where the file has video cameras
too, are left out. `viewrotation` turns a picture on QTM's screen only: a Rig describes the sensor's
own picture, so videos that were turned on export have to be turned back.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from accel.calibration.record import CameraRecord, Place, five_terms, image_size, number
from accel.errors import CalibrationFileError

FORMAT = "Qualisys .qca.txt"

_LOG = logging.getLogger(__name__)
_SUBPIXELS = 64.0
_METRES_PER_UNIT = 1e-3
_FLIP = np.diag([1.0, -1.0, -1.0])
_ROTATION = tuple(f"r{row}{column}" for row in "123" for column in "123")
_XML = re.compile(rb"\A(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*\x00?<")


@dataclass(slots=True)
class _Element:
    """A camera of the file: its own attributes, and those of its parts by their tag."""

    attributes: dict[str, str]
    parts: dict[str, dict[str, str]] = field(default_factory=dict)


def recognises(data: bytes) -> bool:
    """Whether this is XML at all; no other format starts so."""
    return _XML.match(data) is not None


def is_calibration(data: bytes) -> bool:
    """Whether this XML may be Qualisys': other XML in its folder is of no interest."""
    return b"<calibration" in data[:4096].replace(b"\x00", b"")


def read(data: bytes, path: Path, scale: float | None) -> list[CameraRecord]:
    """The cameras in the order of the file.

    Args:
        data: The file.
        path: Where it lies, for errors.
        scale: Metres per unit of the file; None is 0.001.
    """
    place = Place(path)
    elements = [e for e in _elements(data, place) if e.attributes.get("active", "1") != "0"]
    if any(_takes_video(element) for element in elements):
        elements = [element for element in elements if _takes_video(element)]
    factor = _METRES_PER_UNIT if scale is None else scale
    return [_camera(element, place, factor) for element in elements]


def _takes_video(element: _Element) -> bool:
    model = element.attributes.get("model", "none").lower()
    return "video" in model or model == "none"


def _elements(data: bytes, place: Place) -> list[_Element]:
    reader = _Reader(place)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(data, True)
    except CalibrationFileError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise place.error(
            f"is not well-formed XML: {error}", "export the calibration from QTM again"
        ) from error
    if reader.root != "calibration":
        raise place.error(
            f"is XML of <{reader.root}>, not a Qualisys <calibration>", "give a .qca.txt of QTM"
        )
    return reader.cameras


class _Reader:
    """Keeps what expat finds below calibration/cameras/camera."""

    def __init__(self, place: Place) -> None:
        self.root = ""
        self.cameras: list[_Element] = []
        self._place = place
        self._path: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Note an element that opens."""
        self.root = self.root or tag
        if self._path == ["calibration", "cameras"] and tag == "camera":
            self.cameras.append(_Element(attributes))
        elif self._path == ["calibration", "cameras", "camera"]:
            self.cameras[-1].parts[tag] = attributes
        self._path.append(tag)

    def end(self, tag: str) -> None:
        """Leave an element."""
        self._path.pop()

    def refuse_doctype(self, *_: object) -> None:
        """Refuse entities, which no calibration needs and which may grow without bound."""
        raise self._place.error("has a DOCTYPE, which Qualisys never writes", "remove it")


def _camera(element: _Element, place: Place, scale: float) -> CameraRecord:
    name = element.attributes.get("serial")
    if name is None:
        raise place.error("a camera has no name", "write it in the attribute", "serial")
    reader = _Fields(element, place.of(name))
    K, dist = _intrinsics(reader)
    R = _FLIP @ np.array([reader.number("transform", key) for key in _ROTATION]).reshape(3, 3)
    centre = scale * np.array([reader.number("transform", axis) for axis in "xyz"])
    _mention_turn(element, name)
    return CameraRecord(name=name, K=K, dist=dist, R=R, t=-R @ centre, size=_size(reader))


@dataclass(frozen=True, slots=True)
class _Fields:
    """The numbers of one camera."""

    element: _Element
    place: Place

    def number(self, part: str, key: str, default: float | None = None) -> float:
        """One attribute of one part of the camera."""
        field_name = f"{part}.{key}"
        text = self.element.parts.get(part, {}).get(key)
        if text is not None:
            return number(text, self.place, field_name)
        if default is None:
            raise self.place.error(
                "is missing", "export the calibration from QTM again", field_name
            )
        return default


def _intrinsics(reader: _Fields) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if reader.number("intrinsic", "skew", 0.0) != 0.0:
        raise reader.place.unsupported(
            "is not zero, and Qualisys does not document its unit",
            "calibrate without skew",
            "intrinsic.skew",
        )
    K = np.eye(3)
    K[0, 0] = reader.number("intrinsic", "focalLengthU") / _SUBPIXELS
    K[1, 1] = reader.number("intrinsic", "focalLengthV") / _SUBPIXELS
    left, top = reader.number("fov_video", "left"), reader.number("fov_video", "top")
    K[0, 2] = reader.number("intrinsic", "centerPointU") / _SUBPIXELS - left
    K[1, 2] = reader.number("intrinsic", "centerPointV") / _SUBPIXELS - top
    # The misspelling is Qualisys' own.
    keys = [
        "radialDistortion1",
        "radialDistortion2",
        "tangentalDistortion1",
        "tangentalDistortion2",
    ]
    terms = [reader.number("intrinsic", key) / _SUBPIXELS for key in keys]
    terms.append(reader.number("intrinsic", "radialDistortion3", 0.0) / _SUBPIXELS)
    return K, five_terms(terms, reader.place, "intrinsic")


def _size(reader: _Fields) -> tuple[float, float]:
    sides = {key: reader.number("fov_video", key) for key in ("left", "right", "top", "bottom")}
    width, height = sides["right"] - sides["left"] + 1, sides["bottom"] - sides["top"] + 1
    return image_size(width, height, reader.place, "fov_video")


def _mention_turn(element: _Element, name: str) -> None:
    turn = element.attributes.get("viewrotation", "0")
    if turn.strip("0 "):
        _LOG.warning(
            "QTM shows camera %s turned by %s degrees; the rig describes the unturned picture",
            name,
            turn,
        )
