"""Pixel noise, learned from residuals: a variance a camera times a factor a band of confidence.

A residual is smaller than the error, because the joint was drawn towards it: of the two
coordinates' variances, tr(J P J^T) is missing. Whether a view is right is a soft weight, the
probability that its residual is Gaussian noise rather than one of the errors that lie anywhere
(a mixture, as by Jepson and Black 1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accel.reference.cameras import Array

BANDS = 16
CUTOFF = 12.0
"""The squared residual, in variances, at which a view is as likely wrong as right."""
MIN_VARIANCE, MAX_VARIANCE = 0.1**2, 60.0**2
PRIOR_COUNT = 30.0
ROUNDS = 30
FARTHEST = 100.0


@dataclass(frozen=True, slots=True)
class PixelNoise:
    """Variances of one coordinate, px^2."""

    camera: NDArray[np.float64]
    """(C,) of each camera, at confidences as they come."""
    band: NDArray[np.float64]
    """(BANDS,) by what factor each band of confidence differs, about 1."""

    @classmethod
    def assumed(cls, cameras: int, sigma_px: float) -> PixelNoise:
        """Before anything is learned: doubtful keypoints are noisier."""
        middle = (np.arange(BANDS) + 0.5) / BANDS
        return cls(np.full(cameras, sigma_px**2), 1.0 / (0.5 + middle) ** 2)

    def variance(self, xp: Any, confidence: Array) -> Array:
        """Variances (C, ...) of keypoints with these confidences (C, ...)."""
        flat = xp.reshape(band_of(xp, confidence), (-1,))
        factor = xp.reshape(xp.take(xp.asarray(self.band), flat, axis=0), confidence.shape)
        shape = (-1, *(1,) * (confidence.ndim - 1))
        return xp.reshape(xp.asarray(self.camera), shape) * factor

    def learned(self, residual: NDArray[np.float64], share: NDArray[np.float64]) -> PixelNoise:
        """From sums (C, BANDS) of weighted squared residuals and of their expected variances.

        Args:
            residual: Sum of w |e|^2, px^2.
            share: Sum of w (2 - tr(J P J^T) / sigma^2).
        """
        camera, band = self.camera, self.band
        for _ in range(ROUNDS):
            given = residual / band + PRIOR_COUNT / BANDS * self.camera[:, None]
            camera = given.sum(axis=1) / (share.sum(axis=1) + PRIOR_COUNT)
            camera = np.clip(camera, MIN_VARIANCE, MAX_VARIANCE)
            mean = (share * band).sum() / max(float(share.sum()), 1e-9)
            prior = PRIOR_COUNT * self.band / max(mean, 1e-9)
            band = ((residual / camera[:, None]).sum(axis=0) + prior) / (
                share.sum(axis=0) + PRIOR_COUNT
            )
            band = np.clip(band, 0.02, 50.0)
        return PixelNoise(camera, band)


def band_of(xp: Any, confidence: Array) -> Array:
    """The band of each confidence, an index."""
    return xp.astype(xp.clip(confidence * BANDS, 0.0, BANDS - 1.0), xp.int64)


def rightness(xp: Any, squared: Array) -> Array:
    """The probability (0..1) that a residual of this squared length, in variances, is noise."""
    exponent = xp.clip(0.5 * (squared - CUTOFF), -FARTHEST, FARTHEST)
    return 1.0 / (1.0 + xp.exp(exponent))
