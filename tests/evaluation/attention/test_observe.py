"""Each measure of attention against a naive loop, hand-made maps, and what must always hold."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmmanet.clips.normalise import normalise
from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.attention.measures import (
    coverage,
    measure_frames,
    measure_tracklets,
    over_frames,
    part_areas,
    purity,
    weight_change,
)
from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.evaluation.attention.table import BOUND, COLUMNS, MEASURES, OF_PARTS
from cmmanet.losses import attention_statistics
from cmmanet.model.network import CMMANet

BODY = range(Part.HEAD, Part.BAG + 1)


def draw(seed: int, *shape: int, sharp: float = 2.0) -> Tensor:
    """Attention [F, K, h, w]."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(*shape, generator=generator) * sharp
    return scores.flatten(-2).softmax(-1).reshape(shape)


def draw_labels(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 8, shape, np.uint8))


def even(rows: int, columns: int) -> tuple[list[float], list[float]]:
    """Edges of cells that are equal blocks; in any unit."""
    return [float(y) for y in range(rows + 1)], [float(x) for x in range(columns + 1)]


def one_place(*places: tuple[int, int], size: tuple[int, int], frames: int = 1) -> Tensor:
    """Attention of one submodule a place, each all on its cell."""
    maps = torch.zeros(frames, len(places), *size)
    for k, (row, column) in enumerate(places):
        maps[:, k, row, column] = 1
    return maps


def test_areas_are_exact_where_pixels_are_cut() -> None:
    # Three pixels on two cells: the middle one belongs to both.
    labels = torch.tensor([[[1], [2], [3]]], dtype=torch.uint8)
    areas = part_areas(labels, even(2, 1))[0, :, :, 0]
    torch.testing.assert_close(areas[1], torch.tensor([2 / 3, 0]))
    torch.testing.assert_close(areas[2], torch.tensor([1 / 3, 1 / 3]))
    torch.testing.assert_close(areas[3], torch.tensor([0, 2 / 3]))


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(8, 4, 4, 2), (7, 5, 3, 2)])
def test_areas_by_counting_on_a_fine_grid(height: int, width: int, rows: int, columns: int) -> None:
    labels = draw_labels(0, 2, height, width)
    fine = labels.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    areas = part_areas(labels, even(rows, columns))
    for frame, part, row, column in product(range(2), range(8), range(rows), range(columns)):
        block = fine[
            frame, row * height : (row + 1) * height, column * width : (column + 1) * width
        ]
        share = (block == part).double().mean().item()
        assert areas[frame, part, row, column].item() == pytest.approx(share, abs=1e-6)


def test_every_frame_measure_by_naive_loops() -> None:
    frames, submodules, rows, columns = 3, 4, 4, 2
    attention = draw(1, frames, submodules, rows, columns)
    labels = draw_labels(2, frames, 16, 8)
    got = measure_frames(attention, part_areas(labels, even(rows, columns)))
    assert got.parts is not None
    cells = list(product(range(rows), range(columns)))
    for f in range(frames):
        maps = [[attention[f, k, y, x].item() for y, x in cells] for k in range(submodules)]
        for k, values in enumerate(maps):
            entropy = -sum(a * math.log(a) for a in values)
            assert got.entropy[f, k].item() == pytest.approx(entropy / math.log(8), rel=1e-5)
            assert got.field[f, k].item() == pytest.approx(math.exp(entropy) / 8, rel=1e-5)
            y, x = cells[values.index(max(values))]
            there = labels[f, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            nobody = ((there == Part.BACKGROUND) | (there == Part.OCCLUDER)).sum().item() > 8
            assert got.parts.astray[f, k].item() == nobody
            for part in range(8):
                mass = 0.0
                for a, (y, x) in zip(values, cells, strict=True):
                    block = labels[f, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                    mass += a * (block == part).sum().item() / 16
                assert got.parts.mass[f, k, part].item() == pytest.approx(mass, abs=1e-6)
        pairs = [
            sum(math.sqrt(a * b) for a, b in zip(maps[j], maps[k], strict=True))
            for j, k in permutations(range(submodules), 2)
        ]
        assert got.overlap[f].item() == pytest.approx(np.mean(pairs), rel=1e-5)
        own = [sum(maps[k][2 * k : 2 * k + 2]) for k in range(submodules)]
        assert got.own_stripe[f].item() == pytest.approx(np.mean(own), rel=1e-5)


def test_the_same_as_the_statistics_of_training() -> None:
    attention = draw(5, 6, 4, 8, 4)
    got, known = measure_frames(attention, None), attention_statistics(attention.log())
    torch.testing.assert_close(got.entropy.mean(), known.entropy)
    torch.testing.assert_close(got.own_stripe.mean(), known.own_stripe)
    torch.testing.assert_close(got.overlap.mean(), known.overlap)


def test_tracklet_measures_by_naive_loops() -> None:
    attention, labels = draw(3, 6, 2, 4, 2), draw_labels(4, 6, 8, 4)
    areas = part_areas(labels, even(4, 2))
    frames = measure_frames(attention, areas)
    assert frames.parts is not None
    occluded = torch.tensor([True, False, False, True, True, False])
    owner = torch.tensor([0, 0, 0, 1, 1, 2])
    got = measure_tracklets(frames, occluded, owner, 3)
    assert set(got) == {*MEASURES, BOUND}
    mass = frames.parts.mass.double()
    for q, mine in enumerate(([0, 1, 2], [3, 4], [5])):
        hidden = [f for f in mine if occluded[f]]
        visible = [f for f in mine if not occluded[f]]
        best, shares, changed, covers = set(), [], 0.0, 0.0
        for k in range(2):
            mean = {p: np.mean([mass[f, k, p].item() for f in mine]) for p in BODY}
            first = max(mean, key=lambda part: mean[part])
            shares.append(mean[first])
            if mean[first] > np.mean([areas[f, first].mean().item() for f in mine]):
                best.add(first)
            if visible:
                usual = np.mean([attention[f, k].numpy() for f in visible], 0)
                before = np.mean([attention[f, k].max().item() for f in visible])
                for f in hidden:
                    cover = (usual * areas[f, Part.OCCLUDER].numpy()).sum()
                    changed += cover * (attention[f, k].max().item() - before)
                    covers += cover
        assert got["purity"][q].item() == pytest.approx(np.mean(shares))
        assert got["coverage"][q].item() == len(best)
        bounds = [np.mean([areas[f, p].max().item() for f in mine]) for p in BODY]
        assert got[BOUND][q].item() == pytest.approx(max(bounds))
        assert got["purity"][q] <= got[BOUND][q]
        background = np.mean([mass[f, :, Part.BACKGROUND].mean().item() for f in mine])
        assert got["background"][q].item() == pytest.approx(background)
        astray = np.mean([frames.parts.astray[f].mean().item() for f in mine])
        assert got["astray"][q].item() == pytest.approx(astray)
        entropy = np.mean([frames.entropy[f].mean().item() for f in mine])
        assert got["entropy"][q].item() == pytest.approx(entropy)
        if hidden:
            occluder = np.mean([mass[f, :, Part.OCCLUDER].mean().item() for f in hidden])
            assert got["occluder"][q].item() == pytest.approx(occluder)
        else:
            assert math.isnan(got["occluder"][q])
        if hidden and visible:
            assert got["weight_change"][q].item() == pytest.approx(changed / covers, rel=1e-5)
        else:
            assert math.isnan(got["weight_change"][q])


def test_attention_on_one_part_is_pure() -> None:
    labels = torch.zeros(2, 8, 4, dtype=torch.uint8)
    labels[:, :2] = Part.HEAD
    labels[:, 6:] = Part.FEET
    areas = part_areas(labels, even(4, 2))
    owner, never = torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.bool)
    apart = measure_frames(one_place((0, 0), (3, 1), size=(4, 2), frames=2), areas)
    got = {name: v[0].item() for name, v in measure_tracklets(apart, never, owner, 1).items()}
    assert got["purity"] == 1 and got["coverage"] == 2 and got["own_stripe"] == 1
    assert got["background"] == got["entropy"] == got["overlap"] == 0
    assert got["field"] == pytest.approx(1 / 8)
    together = measure_frames(one_place((0, 0), (0, 0), size=(4, 2), frames=2), areas)
    got = {name: v[0].item() for name, v in measure_tracklets(together, never, owner, 1).items()}
    assert (got["purity"], got["coverage"], got["overlap"], got["own_stripe"]) == (1, 1, 1, 0.5)


def test_uniform_attention_gives_the_areas() -> None:
    labels = draw_labels(7, 3, 16, 8)
    occluded = (labels == Part.OCCLUDER).flatten(1).any(1)
    assert occluded.all()
    frames = measure_frames(torch.full((3, 4, 4, 2), 1 / 8), part_areas(labels, even(4, 2)))
    got = measure_tracklets(frames, occluded, torch.zeros(3, dtype=torch.long), 1)
    shares = [(labels == part).double().mean().item() for part in range(8)]
    assert got["background"].item() == pytest.approx(shares[Part.BACKGROUND])
    assert got["occluder"].item() == pytest.approx(shares[Part.OCCLUDER])
    assert got["purity"].item() == pytest.approx(max(shares[part] for part in BODY))
    # It prefers no part to any other, and no place to look.
    assert got["coverage"].item() == 0 and got["own_stripe"].item() == pytest.approx(1 / 4)
    nobody = (labels == Part.BACKGROUND) | (labels == Part.OCCLUDER)
    mostly = nobody.double().reshape(3, 4, 4, 2, 4).mean((2, 4)) > 0.5
    assert got["astray"].item() == pytest.approx(mostly.double().mean().item())
    for name in ("entropy", "field", "overlap"):
        assert got[name].item() == pytest.approx(1, abs=1e-6)


def test_weights_that_fall_where_they_are_covered() -> None:
    # Two submodules look up and down; the occluder covers the upper cell, and the upper weight
    # falls from 0.8 to 0.5. The lower one, which rises, is covered by a quarter as much.
    attention = torch.tensor([[[[0.8], [0.2]], [[0.2], [0.8]]], [[[0.5], [0.5]], [[0.1], [0.9]]]])
    occluder = torch.tensor([[[0.0], [0.0]], [[1.0], [0.0]]])
    owner, hidden = torch.zeros(2, dtype=torch.long), torch.tensor([False, True])
    change = weight_change(attention, occluder, hidden, owner, 1)
    assert change.item() == pytest.approx((0.8 * -0.3 + 0.2 * 0.1) / (0.8 + 0.2))
    assert weight_change(attention, 0 * occluder, hidden, owner, 1).item() == 0
    assert weight_change(attention, occluder, ~hidden & hidden, owner, 1).isnan()


def test_looking_at_nobody_covers_no_part() -> None:
    mass = torch.zeros(1, 4, len(Part))
    mass[..., Part.BACKGROUND] = 0.998
    mass[0, 0, Part.HEAD] = mass[0, 1, Part.FEET] = 0.002
    areas = torch.full((1, len(Part)), 0.01)
    assert coverage(mass, areas).item() == 0
    mass[0, 0, Part.HEAD] = 0.02
    assert coverage(mass, areas).item() == 1


def test_without_label_maps_parts_are_not_measured() -> None:
    frames = measure_frames(draw(0, 2, 2, 4, 2), None)
    got = measure_tracklets(frames, None, torch.tensor([0, 1]), 2)
    assert {name for name, values in got.items() if values.isnan().all()} == {*OF_PARTS, BOUND}
    assert {name for name, values in got.items() if values.isnan().any()} == {*OF_PARTS, BOUND}


def test_one_submodule_overlaps_with_none() -> None:
    assert measure_frames(draw(0, 2, 1, 4, 2), None).overlap.isnan().all()


def test_a_map_that_has_no_equal_stripes() -> None:
    with pytest.raises(ValueError, match="3 submodules cannot share a 4×2 map"):
        measure_frames(draw(0, 1, 3, 4, 2), None)


def test_attention_that_underflows_is_measured() -> None:
    frames = measure_frames(one_place((0, 0), (3, 1), size=(4, 2)), None)
    assert not any(values.isnan().any() for values in frames[:4])


def test_means_over_frames_that_count() -> None:
    values = torch.tensor([[1.0], [3.0], [5.0]])
    owner = torch.tensor([0, 0, 1])
    got = over_frames(values, owner, 2, torch.tensor([False, True, False]))
    assert got[0].item() == 3 and got[1].isnan()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    submodules=st.sampled_from([2, 4, 8]),
    sharp=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_ranges_and_the_order_of_submodules(seed: int, submodules: int, sharp: float) -> None:
    attention = draw(seed, 3, submodules, 4, 2, sharp=sharp)
    labels = draw_labels(seed, 3, 11, 7)
    areas = part_areas(labels, even(4, 2))
    torch.testing.assert_close(areas.sum(1), torch.ones(3, 4, 2))
    frames = measure_frames(attention, areas)
    assert frames.parts is not None
    torch.testing.assert_close(frames.parts.mass.sum(-1), torch.ones(3, submodules))
    slack = 1e-5
    ranged = (frames.entropy, frames.overlap, frames.own_stripe, frames.parts.mass)
    for values in (*ranged, frames.parts.astray):
        assert -slack <= values.min() and values.max() <= 1 + slack
    assert 1 / 8 - slack <= frames.field.min() and frames.field.max() <= 1 + slack
    mass, every = frames.parts.mass.double(), areas.mean((-2, -1))
    body = mass[..., BODY.start : BODY.stop].sum(-1).mean(-1)
    assert (purity(mass) <= body + slack).all() and (purity(mass) >= body / 6 - slack).all()
    covered = coverage(mass, every)
    assert ((covered >= 0) & (covered <= min(submodules, 6))).all()
    order = torch.randperm(submodules, generator=torch.Generator().manual_seed(seed))
    other = measure_frames(attention[:, order], areas)
    assert other.parts is not None
    torch.testing.assert_close(other.overlap, frames.overlap)
    torch.testing.assert_close(purity(other.parts.mass), purity(frames.parts.mass))
    torch.testing.assert_close(coverage(other.parts.mass.double(), every), covered)


@pytest.mark.parametrize("mam_after", [(), (4,), (3, 4)])
def test_maps_are_those_of_the_network(mam_after: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = CMMANet("resnet18", 2, mam_after=mam_after, submodules=2, hidden=4).train()
    frames = torch.randint(0, 256, (3, 3, 64, 32), dtype=torch.uint8)
    maps = attention_maps(network, frames)
    assert not network.training and len(maps) == len(mam_after)
    for got, stage in zip(maps, mam_after, strict=True):
        assert got.dtype == torch.float32
        assert got.shape == (3, 2, *{3: (4, 2), 4: (2, 1)}[stage])
        torch.testing.assert_close(got.sum((-2, -1)), torch.ones(3, 2))
    with torch.no_grad():
        alone = network(normalise(frames[1:2])[:, None]).log_attention
    for got, expected in zip(maps, alone, strict=True):
        torch.testing.assert_close(got[1], expected[0, 0].exp(), rtol=1e-4, atol=1e-6)


def test_the_tables_columns() -> None:
    each = {f"{kind}{name}" for kind in ("", "uniform_", "fixed_") for name in MEASURES}
    assert set(COLUMNS) == {*each, BOUND}
    assert set(MEASURES) >= OF_PARTS
