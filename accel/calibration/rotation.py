"""Rotation vectors, quaternions and matrices.

A matrix becomes a quaternion by its largest component (Shepperd, Quaternion from Rotation Matrix,
1978), which loses no digits near a half turn; a rotation vector is twice a quaternion's logarithm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def matrix_of_quaternion(w: float, x: float, y: float, z: float) -> Array:
    """The rotation matrix (3, 3) of a quaternion of any length but zero."""
    length = math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w / length, x / length, y / length, z / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of_matrix(R: Array) -> tuple[float, float, float, float]:
    """The unit quaternion (w, x, y, z), w not negative, of a rotation matrix (3, 3)."""
    diagonal = [float(R[i, i]) for i in range(3)]
    trace = sum(diagonal)
    squares = np.array([1 + trace, *(1 + 2 * d - trace for d in diagonal)])
    largest = int(np.argmax(squares))
    rows = np.array(
        [
            [squares[0], R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]],
            [R[2, 1] - R[1, 2], squares[1], R[0, 1] + R[1, 0], R[0, 2] + R[2, 0]],
            [R[0, 2] - R[2, 0], R[0, 1] + R[1, 0], squares[2], R[1, 2] + R[2, 1]],
            [R[1, 0] - R[0, 1], R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], squares[3]],
        ]
    )
    row = rows[largest] / np.linalg.norm(rows[largest])
    w, x, y, z = (row if row[0] >= 0 else -row).tolist()
    return w, x, y, z


def matrix_of_rodrigues(vector: Array) -> Array:
    """The rotation matrix (3, 3) of a rotation vector (3,), rad along the axis."""
    angle = math.sqrt(float(vector @ vector))
    half = 0.5 * angle
    # sin(half) / angle, by its series where it loses digits.
    factor = math.sin(half) / angle if angle > 1e-4 else 0.5 - angle * angle / 48.0
    x, y, z = (factor * vector).tolist()
    return matrix_of_quaternion(math.cos(half), x, y, z)


def rodrigues_of_matrix(R: Array) -> Array:
    """The rotation vector (3,), of length at most pi, of a rotation matrix (3, 3)."""
    w, x, y, z = quaternion_of_matrix(R)
    axis = np.array([x, y, z])
    sine = math.sqrt(x * x + y * y + z * z)
    if sine < 1e-8:
        return 2.0 * axis
    return (2.0 * math.atan2(sine, w) / sine) * axis
