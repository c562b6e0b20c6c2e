import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.clips.batches import ClipRequest, clip_draw
from cmmanet.clips.erasing import erasure_draw
from cmmanet.clips.sampling import Interval, Restricted
from cmmanet.geometry import View

VIEW = View(256, 128)
SEEDS = range(4000)


def draws(probability, view=VIEW):
    requests = (ClipRequest(0, seed, Interval(1)) for seed in SEEDS)
    return [erasure_draw(request, view, probability) for request in requests]


def naive_erasing(random, height, width):
    """The algorithm once more, one pixel at a time, for its distribution: share erased of each."""
    for _ in range(100):
        area = (0.02 + (0.4 - 0.02) * random.random()) * height * width
        ratio = 0.3 + (1 / 0.3 - 0.3) * random.random()
        rows, columns = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if rows >= height or columns >= width:
            continue
        top = math.floor(random.random() * (height - rows + 1))
        left = math.floor(random.random() * (width - columns + 1))
        return [
            [top <= y < top + rows and left <= x < left + columns for x in range(width)]
            for y in range(height)
        ]
    return [[False] * width] * height


@given(
    seed=st.integers(0, 2**63 - 1),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
)
def test_erased_is_always_inside_the_frame(seed, height, width):
    erased = erasure_draw(ClipRequest(0, seed, Interval(1)), View(height, width), 1.0)
    if erased is not None:
        assert erased.height >= 1 and erased.width >= 1
        assert erased.top >= 0 and erased.top + erased.height <= height
        assert erased.left >= 0 and erased.left + erased.width <= width


def test_area_and_aspect_are_in_the_papers_ranges_and_fill_them():
    erased = draws(1.0)
    # Next to no try fails a hundred times.
    assert all(erased)
    areas = np.array([e.height * e.width / (VIEW.height * VIEW.width) for e in erased])
    aspects = np.array([e.height / e.width for e in erased])
    # Sides are rounded to pixels.
    assert areas.min() >= 0.02 * 0.97 and areas.max() <= 0.4 * 1.03
    assert aspects.min() >= 0.3 * 0.95 and aspects.max() <= 1 / 0.3 * 1.05
    assert areas.min() < 0.025 and areas.max() > 0.39
    assert aspects.min() < 0.35 and aspects.max() > 3.25


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_probability(probability):
    count = sum(erased is not None for erased in draws(probability))
    spread = (len(SEEDS) * probability * (1 - probability)) ** 0.5
    assert abs(count - len(SEEDS) * probability) <= 4 * spread


def test_every_pixel_is_erased_as_often_as_by_a_naive_loop():
    height, width, repeats = 16, 8, 4000
    random = np.random.default_rng(5)
    naive = np.mean([naive_erasing(random, height, width) for _ in range(repeats)], axis=0)
    ours = np.zeros((height, width))
    for erased in draws(1.0, View(height, width)):
        if erased is not None:
            rows = slice(erased.top, erased.top + erased.height)
            ours[rows, erased.left : erased.left + erased.width] += 1 / len(SEEDS)
    # Standard error of a difference of two shares of about 0.2, times 4.5 for 128 of them.
    assert np.abs(ours - naive).max() < 4.5 * (2 * 0.25 / repeats) ** 0.5
    # The middle is in more rectangles than a corner, and left is like right.
    assert ours[8, 4] > 2 * ours[0, 0]
    np.testing.assert_allclose(ours, ours[::-1, ::-1], atol=0.05)


def test_erasing_is_decided_by_the_requests_seed_alone():
    torch.manual_seed(1)
    first = draws(0.5)
    torch.manual_seed(2)
    assert draws(0.5) == first
    # Neither the tracklet nor the sampler, and who is erased at 0.2 is so at 0.5.
    assert erasure_draw(ClipRequest(7, 11, Restricted()), VIEW, 0.5) == first[11]
    for rarely, often in zip(draws(0.2), first, strict=True):
        assert rarely is None or rarely == often
    assert len(set(first)) > 1000


def test_erasing_and_flips_are_independent():
    pairs = [
        (clip_draw(ClipRequest(0, seed, Interval(1)), 20, 6)[1], erased is not None)
        for seed, erased in zip(SEEDS, draws(0.5), strict=True)
    ]
    shares = [pairs.count((flip, erased)) / len(pairs) for flip in (0, 1) for erased in (0, 1)]
    assert all(abs(share - 0.25) < 4 * (0.1875 / len(pairs)) ** 0.5 for share in shares)


@pytest.mark.parametrize("sizes", [(0, 8), (8, 0)])
def test_a_frame_has_pixels(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        erasure_draw(ClipRequest(0, 0, Interval(1)), View(*sizes), 0.5)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_a_probability_is_one(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        erasure_draw(ClipRequest(0, 0, Interval(1)), View(8, 8), probability)
