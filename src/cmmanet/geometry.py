"""The map sizes of the backbones' stages, as arithmetic: nothing here imports torch."""

import math
from collections.abc import Iterable


def map_size(height: int, width: int, *, stage: int, last_stride: int) -> tuple[int, int]:
    """Rows and columns of the feature map behind stage 1, 2, 3 or 4 of any of the backbones.

    Every convolution or pooling of theirs that strides has stride 2 and padding ⌊kernel / 2⌋, so
    each halves the map and rounds up: the four maps are ⌈size / 4⌉, ⌈size / 8⌉, ⌈size / 16⌉ and
    ⌈size / 32⌉ (⌈size / 16⌉ again if the last stride is 1).

    >>> map_size(256, 128, stage=4, last_stride=2)
    (8, 4)
    """
    if last_stride not in (1, 2):
        raise ValueError(f"the last stride is 1 or 2, not {last_stride}")
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"a backbone has stages 1 to 4, no stage {stage}")
    stride = 16 * last_stride if stage == 4 else 2 ** (stage + 1)
    return math.ceil(height / stride), math.ceil(width / stride)


def check_stripes(
    height: int, width: int, *, mam_after: Iterable[int], submodules: int, last_stride: int
) -> None:
    """Raise ValueError unless the map behind each MAM can be cut into K equal stripes (Eq. 9).

    Stripes are cut from the map flattened row by row, so K has to divide h·w; they are whole rows
    of the map only if K divides h.
    """
    for stage in mam_after:
        rows, columns = map_size(height, width, stage=stage, last_stride=last_stride)
        if rows * columns % submodules:
            raise ValueError(
                f"{submodules} attention submodules cannot share the {rows}×{columns} map behind "
                f"stage {stage} ({height}×{width} images, last stride {last_stride}) in equal "
                f"stripes: their number has to divide {rows * columns}"
            )
