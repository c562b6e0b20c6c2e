"""Random erasing of a clip: its rectangle, as a pure function of the clip's request."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cmmanet.clips.batches import ClipRequest
from cmmanet.geometry import View

# Of Zhong et al. (AAAI 2020) for person re-identification, and of Luo et al. (CVPRW 2019).
AREA = (0.02, 0.4)  # of the image
ASPECT = (0.3, 1 / 0.3)  # height over width
TRIES = 100

# Separates this stream from whatever else is drawn from a request's seed.
_STREAM = 1


class Rectangle(NamedTuple):
    """Pixels of a frame: rows from `top`, columns from `left`."""

    top: int
    left: int
    height: int
    width: int


def erasure_draw(request: ClipRequest, view: View, probability: float) -> Rectangle | None:
    """Draw the rectangle that is erased in every frame of the clip, or None.

    Area and aspect ratio are uniform in the paper's ranges. A rectangle as high or as wide as the
    frame is drawn anew, up to 100 times; one that fits has a uniform place. The code of Luo et al.
    does the same; in Zhong et al.'s pseudocode the place is drawn before the check that the
    rectangle fits there, which favours small ones.

    One decision and one rectangle for the whole clip (ours, as with flips): the paper has single
    images. A pure function: everything is drawn from the request's seed, by a generator of its
    own, so flips and positions are the same with and without erasing.

    Args:
        request: the clip.
        view: size of its frames.
        probability: of erasing anything.

    Raises:
        ValueError: height or width is below 1, or `probability` outside [0, 1].
    """
    height, width = view
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, not {height} and {width}")
    if not 0 <= probability <= 1:
        raise ValueError(f"the probability of erasing must be between 0 and 1, not {probability}")
    rng = np.random.default_rng([request.seed, _STREAM])
    if rng.random() >= probability:
        return None
    for _ in range(TRIES):
        area = rng.uniform(*AREA) * height * width
        aspect = rng.uniform(*ASPECT)
        rows = round(math.sqrt(area * aspect))
        columns = round(math.sqrt(area / aspect))
        if 0 < rows < height and 0 < columns < width:
            top = int(rng.integers(height - rows + 1))
            left = int(rng.integers(width - columns + 1))
            return Rectangle(top, left, rows, columns)
    return None
