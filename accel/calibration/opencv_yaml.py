"""The pair of OpenCV YAML files that EasyMocap and others write: intri.yml and extri.yml.

`names` lists the cameras; the first file has `K_<name>` and `dist_<name>` and perhaps `W_<name>`
and `H_<name>`, the second `R_<name>` (a rotation vector; a matrix is taken too), `Rot_<name>` (the
matrix) and `T_<name>`. Without W and H the image is taken to be twice the principal point, as
Pose2Sim does. The reader knows the part of YAML that OpenCV's FileStorage writes, and nothing
beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accel.calibration.record import (
    CameraRecord,
    Place,
    distortion,
    image_size,
    matrix,
    number,
    numbers,
    rotation_vector,
)

FORMAT = "OpenCV YAML"
AGREEMENT = 1e-3
"""How far `R_` and `Rot_` may differ: EasyMocap writes three to five decimals."""

_KEY = re.compile(r"\A([^\s:#'\"-][^:]*?|\"[^\"]*\"|'[^']*')\s*:(?:\s+(.*)|\s*)\Z")
_DIRECTIVE = ("%", "---", "...", "#")

Values = dict[str, object]


def recognises(text: str) -> bool:
    """Whether the text is what OpenCV's FileStorage writes."""
    return text.lstrip().startswith("%YAML") or "!!opencv-matrix" in text


def has_intrinsics(values: Mapping[str, object]) -> bool:
    """Whether some camera's K is here."""
    return any(key.startswith("K_") for key in values)


def has_extrinsics(values: Mapping[str, object]) -> bool:
    """Whether some camera's pose is here."""
    return any(key.startswith("T_") for key in values)


def parse(text: str, path: Path) -> Values:
    """The top-level values of a file: text, lists of text, or matrices as lists of rows."""
    values: Values = {}
    lines = [line.rstrip() for line in text.splitlines()]
    blocks = [i for i, line in enumerate(lines) if _opens(line)]
    for i, start in enumerate(blocks):
        end = blocks[i + 1] if i + 1 < len(blocks) else len(lines)
        match = _KEY.match(lines[start])
        if match is None:
            raise Place(path).error(
                f"line {start + 1} is no `key: value`", "write it with OpenCV's FileStorage"
            )
        key, first = _bare(match.group(1)), (match.group(2) or "").strip()
        body = [line.strip() for line in lines[start + 1 : end] if _counts(line)]
        values[key] = _value(first, body, Place(path), key)
    return values


def _opens(line: str) -> bool:
    return _counts(line) and not line.startswith((" ", "\t", "-"))


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(_DIRECTIVE)


def _value(first: str, body: list[str], place: Place, key: str) -> object:
    if first.startswith("!!opencv-matrix"):
        return _matrix(body, place, key)
    if first.startswith("["):
        return _flow(" ".join([first, *body]), place, key)
    if first:
        return _bare(first)
    return [_bare(line[1:].strip()) for line in body if line.startswith("-")]


def _matrix(body: list[str], place: Place, key: str) -> object:
    fields: dict[str, str] = {}
    current = ""
    for line in body:
        name, colon, rest = line.partition(":")
        if colon and name.strip() in {"rows", "cols", "dt", "data"}:
            current = name.strip()
            fields[current] = rest.strip()
        elif current == "data":
            fields[current] += " " + line
    if "data" not in fields:
        raise place.error("is a matrix without data", "write the file anew", key)
    items = _flow(fields["data"], place, key)
    rows, cols = (number(fields.get(side, ""), place, f"{key}.{side}") for side in ("rows", "cols"))
    if rows * cols != len(items):
        raise place.error(
            f"has {len(items)} numbers for {rows:g} x {cols:g}", "the file is cut short", key
        )
    return items


def _flow(text: str, place: Place, key: str) -> list[object]:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise place.error("is a list without its end", "the file is cut short", key)
    inner = text[1:-1].strip()
    return [_bare(item.strip()) for item in inner.split(",")] if inner else []


def _bare(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def read(
    intrinsics: tuple[Path, Values], extrinsics: tuple[Path, Values], scale: float | None
) -> list[CameraRecord]:
    """The cameras in the order of the intrinsics' `names`.

    Args:
        intrinsics: The first file and its values.
        extrinsics: The second file and its values; may be the same.
        scale: Metres per unit of the file; None is 1.
    """
    names = _names(*intrinsics)
    others = _names(*extrinsics)
    if set(names) != set(others):
        raise Place(extrinsics[0]).error(
            f"names {sorted(others)}, but {intrinsics[0]} names {sorted(names)}",
            "give the two files of one calibration",
            "names",
        )
    factor = 1.0 if scale is None else scale
    return [_camera(name, intrinsics, extrinsics, factor) for name in names]


def _names(path: Path, values: Values) -> list[str]:
    if "names" not in values:
        raise Place(path).error("is missing", "list the cameras there", "names")
    names = values["names"]
    if not isinstance(names, list) or not names or not all(names):
        raise Place(path).error("is no list of names", "list the cameras there", "names")
    return [str(name) for name in names]


def _camera(
    name: str, intrinsics: tuple[Path, Values], extrinsics: tuple[Path, Values], scale: float
) -> CameraRecord:
    inner, outer = Place(intrinsics[0], name), Place(extrinsics[0], name)
    K = matrix(_get(intrinsics[1], f"K_{name}", inner), inner, f"K_{name}")
    dist_key = f"dist_{name}" if f"dist_{name}" in intrinsics[1] else f"D_{name}"
    translation = numbers(_get(extrinsics[1], f"T_{name}", outer), 3, outer, f"T_{name}")
    return CameraRecord(
        name=name,
        K=K,
        dist=distortion(_get(intrinsics[1], dist_key, inner), inner, dist_key),
        R=_rotation(name, extrinsics[1], outer),
        t=scale * translation,
        size=_size(name, intrinsics[1], K, inner),
    )


def _get(values: Values, key: str, place: Place) -> object:
    if key not in values:
        raise place.error("is missing", "write it, or export the calibration again", key)
    return values[key]


def _size(name: str, values: Values, K: NDArray[np.float64], place: Place) -> tuple[float, float]:
    keys = (f"W_{name}", f"H_{name}")
    if not any(key in values for key in keys):
        return image_size(2.0 * K[0, 2], 2.0 * K[1, 2], place, f"K_{name}")
    width, height = (number(_get(values, key, place), place, key) for key in keys)
    return image_size(width, height, place, keys[0])


def _rotation(name: str, values: Values, place: Place) -> NDArray[np.float64]:
    found = [
        _rotation_of(values[key], place, key)
        for key in (f"Rot_{name}", f"R_{name}")
        if key in values
    ]
    if not found:
        raise place.error("is missing", "write the rotation vector there", f"R_{name}")
    if len(found) == 2 and float(np.max(np.abs(found[0] - found[1]))) > AGREEMENT:
        raise place.error(f"differs from R_{name}", "remove the wrong one", f"Rot_{name}")
    return found[0]


def _rotation_of(value: object, place: Place, key: str) -> NDArray[np.float64]:
    if isinstance(value, list) and len(value) == 9:
        return matrix(value, place, key)
    return rotation_vector(value, place, key)
