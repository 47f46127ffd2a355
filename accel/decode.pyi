from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def people(
    heat: NDArray[np.float32],
    center: NDArray[np.float32],
    regress: NDArray[np.float32],
    offset: NDArray[np.float32],
    scale: NDArray[np.float32],
    boxoff: NDArray[np.float32],
    *,
    threshold: float = 0.15,
    max_people: int = 64,
    nms_oks: float = 0.6,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def single(
    heat: NDArray[np.float32],
    center: NDArray[np.float32],
    regress: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.float32]: ...
def crop_resize(
    frame: NDArray[np.uint8],
    region: Sequence[float],
    height_px: int,
    width_px: int,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]: ...
