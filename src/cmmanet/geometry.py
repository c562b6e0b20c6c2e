"""The backbones' names and their stages' map sizes, as arithmetic: nothing here imports torch."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

BackboneName = Literal["resnet18", "resnet50", "mobilenet_v2", "inception_v3"]


class View(NamedTuple):
    """The size that frames are brought to for a network, in pixels."""

    height: int
    width: int


# The smallest image that leaves one row behind Inception's stage 4.
_INCEPTION_MIN = 75

# What Inception's stages lose of an image's size, and their strides.
_INCEPTION = {1: (7, 4), 2: (19, 8), 3: (27, 16), 4: (43, 32)}


def check_backbone(backbone: str, *, last_stride: int) -> None:
    """Raise ValueError unless there is such a backbone and it can have that last stride."""
    if backbone not in get_args(BackboneName):
        raise ValueError(f"no backbone {backbone!r}: there are {', '.join(get_args(BackboneName))}")
    if last_stride not in (1, 2):
        raise ValueError(f"the last stride is 1 or 2, not {last_stride}")
    if backbone == "inception_v3" and last_stride == 1:
        # One branch of its Mixed_7a is a pooling written into torchvision's code, not a module.
        raise ValueError("inception_v3 cannot have a last stride of 1, only 2")


def map_size(
    height: int, width: int, *, backbone: BackboneName, stage: int, last_stride: int
) -> tuple[int, int]:
    """Rows and columns of the feature map behind stage 1, 2, 3 or 4 of a backbone.

    Every convolution or pooling of ResNets and MobileNetV2 that strides has stride 2 and padding
    ⌊kernel / 2⌋, so each halves the map and rounds up: the four maps are ⌈size / 4⌉, ⌈size / 8⌉,
    ⌈size / 16⌉ and ⌈size / 32⌉ (⌈size / 16⌉ again if the last stride is 1).

    Inception shrinks its maps by 3×3 kernels without padding: stage 1 by strides 2, 1 and 2, stage
    2 by 1 and 2, stages 3 and 4 by 2. Each makes ⌊(n - 3) / stride⌋ + 1 of n, which adds up to
    ⌊(size - 7) / 4⌋, ⌊(size - 19) / 8⌋, ⌊(size - 27) / 16⌋ and ⌊(size - 43) / 32⌋.

    Raises:
        ValueError: for a backbone, stage or last stride that there is not, or an image that
            leaves nothing behind the backbone's last stage.

    >>> map_size(256, 128, backbone="resnet50", stage=4, last_stride=2)
    (8, 4)
    >>> map_size(256, 128, backbone="inception_v3", stage=4, last_stride=2)
    (6, 2)
    """
    check_backbone(backbone, last_stride=last_stride)
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"a backbone has stages 1 to 4, no stage {stage}")
    if backbone == "inception_v3":
        if min(height, width) < _INCEPTION_MIN:
            raise ValueError(
                f"{height}×{width} images are too small for inception_v3: height and width have "
                f"to be at least {_INCEPTION_MIN}"
            )
        lost, stride = _INCEPTION[stage]
        return (height - lost) // stride, (width - lost) // stride
    stride = _stride(stage, last_stride)
    return math.ceil(height / stride), math.ceil(width / stride)


def cell_centres(
    height: int, width: int, *, backbone: BackboneName, stage: int, last_stride: int
) -> tuple[list[float], list[float]]:
    """Rows and columns of pixels on which the map's cells have their receptive fields centred.

    With padding ⌊kernel / 2⌋ cell i is centred on pixel stride · i, and not on the middle of the
    i-th of equal blocks, which lies half a stride further. Inception's first cell is centred on
    pixel (lost + stride - 1) / 2, as its kernels have no padding there.

    Raises:
        ValueError: as `map_size`.

    >>> cell_centres(64, 32, backbone="resnet18", stage=3, last_stride=2)
    ([0.0, 16.0, 32.0, 48.0], [0.0, 16.0])
    """
    size = map_size(height, width, backbone=backbone, stage=stage, last_stride=last_stride)
    first, stride = 0.0, _stride(stage, last_stride)
    if backbone == "inception_v3":
        lost, stride = _INCEPTION[stage]
        first = (lost + stride - 1) / 2
    rows, columns = ([first + stride * cell for cell in range(cells)] for cells in size)
    return rows, columns


def edges_between(centres: Sequence[float], pixels: int) -> list[float]:
    """Edges of cells that share the pixels of an axis, each pixel with the nearest centre.

    >>> edges_between([0.0, 16.0, 32.0], 48)
    [0.0, 8.5, 24.5, 48.0]
    """
    # The centre of pixel p lies at p + 1/2.
    inner = [(one + other + 1) / 2 for one, other in pairwise(centres)]
    return [0.0, *inner, float(pixels)]


def _stride(stage: int, last_stride: int) -> int:
    """Of ResNets and MobileNetV2."""
    return 16 * last_stride if stage == 4 else 2 ** (stage + 1)


def check_stripes(
    height: int,
    width: int,
    *,
    backbone: BackboneName,
    mam_after: Iterable[int],
    submodules: int,
    last_stride: int,
) -> None:
    """Refuse a network that could not run, or whose maps have no K equal stripes (Eq. 9).

    Stripes are cut from the map flattened row by row, so K has to divide h·w; they are whole rows
    of the map only if K divides h.

    Raises:
        ValueError: as `map_size` does, MAMs or not, or if K does not divide h·w behind a MAM.
    """
    map_size(height, width, backbone=backbone, stage=4, last_stride=last_stride)
    for stage in mam_after:
        rows, columns = map_size(
            height, width, backbone=backbone, stage=stage, last_stride=last_stride
        )
        if rows * columns % submodules:
            raise ValueError(
                f"{submodules} attention submodules cannot share the {rows}×{columns} map behind "
                f"stage {stage} ({height}×{width} images, last stride {last_stride}) in equal "
                f"stripes: their number has to divide {rows * columns}"
            )
