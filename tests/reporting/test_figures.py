"""Figures: which tracklets, what is on them, and how large their files are."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cmmanet.reporting.colours import styles
from cmmanet.reporting.figures import sheet
from cmmanet.reporting.figures.choice import (
    FRAMES,
    evenly_spaced,
    half_occluded_row,
    median_row,
)
from cmmanet.reporting.figures.entry import Entry, not_drawn
from cmmanet.reporting.figures.heatmaps import Block, greatest, heatmaps, mean_greatest, occlusion
from cmmanet.reporting.figures.lines import cmc, training
from cmmanet.reporting.figures.sheet import DPI, TEXT, WIDTH, encode, png

pytestmark = pytest.mark.slow

VALUES = st.dictionaries(
    st.integers(0, 50), st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 1.0]), min_size=1, max_size=12
)


@given(VALUES)
def test_rows_are_chosen_by_their_rules(values: dict[int, float]) -> None:
    in_order = sorted(values, key=lambda row: (values[row], row))
    middle = in_order[(len(in_order) - 1) // 2]
    assert values[median_row(values)] == values[middle]
    half, median = None, None
    for row in sorted(values):  # the first found is the lowest
        if half is None or abs(values[row] - 0.5) < abs(values[half] - 0.5):
            half = row
        if median is None and values[row] == values[middle]:
            median = row
    assert (median_row(values), half_occluded_row(values)) == (median, half)


@given(st.integers(0, 1000), st.integers(FRAMES, 900))
def test_frames_are_evenly_spaced(first: int, length: int) -> None:
    rows = evenly_spaced(first, length)
    assert len(rows) == len(set(rows)) == FRAMES
    assert (rows[0], rows[-1]) == (first, first + length - 1)
    gaps = np.diff(rows)
    assert gaps.max() - gaps.min() <= 1


def block(title: str, *, submodules: int, seed: int = 0, frames: int = 6) -> Block:
    draw = np.random.default_rng(seed)
    maps = draw.random((frames, submodules, 4, 2), np.float32)
    maps /= maps.sum((2, 3), keepdims=True)
    pixels = draw.integers(0, 256, (frames, 32, 16, 3)).astype(np.uint8)
    return Block(title, pixels, maps, ([0, 8, 16, 24], [0, 8]))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_heatmaps_show_every_frame_and_submodule() -> None:
    blocks = [block("left", submodules=4), block("right", submodules=4, seed=1)]
    figure = heatmaps(blocks)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 2 * 6 * (1 + 4)
    shown = set(texts(figure))
    assert {"left", "right", "frames", "share of attention"} <= shown
    assert {f"submodule\n{number}" for number in range(1, 5)} <= shown
    # The first column: the frame as it is, then a heatmap for each submodule.
    first = pictures[:5]
    np.testing.assert_array_equal(first[0].images[0].get_array(), blocks[0].frames[0])
    for axes in first[1:]:
        assert axes.images[0].get_array().shape == (32, 16, 3)
    picture = opened(png(figure))
    assert picture.size == (round(WIDTH * DPI), int(figure.get_figheight() * DPI))


def test_more_attention_is_darker_and_less_grey() -> None:
    attention = np.zeros((1, 2, 4, 2), np.float32)
    attention[0, 0, 0] = 0.5
    attention[0, 1, 3] = [0.9, 0.1]
    grey = np.full((1, 32, 16, 3), 128, np.uint8)
    figure = heatmaps([Block("", grey, attention, ([0, 8, 16, 24], [0, 8]))])
    upper, lower = (axes.images[0].get_array() for axes in figure.axes[1:3])
    assert (upper[0].astype(int).sum(1) < upper[-1].astype(int).sum(1)).all()
    assert np.ptp(upper[-1].astype(int), axis=1).max() == 0, "the frame alone, in grey"
    assert lower[-1, 0].astype(int).sum() < upper[0, 0].astype(int).sum(), "one scale for both"


def test_attention_is_strongest_where_its_cell_is_centred() -> None:
    attention = np.zeros((1, 1, 4, 2), np.float32)
    attention[0, 0, 2, 1] = 1
    grey = np.full((1, 32, 16, 3), 128, np.uint8)
    figure = heatmaps([Block("", grey, attention, ([0, 8, 16, 24], [0, 8]))])
    shown = figure.axes[1].images[0].get_array().astype(int).sum(2)
    # Constant to the right of the last centre.
    assert shown.argmin(0)[8:].tolist() == [16] * 8
    assert shown[16].argmin() == 8 and (shown[12, 8:] == shown[20, 8:]).all()


def test_what_captions_say_of_heatmaps_is_counted() -> None:
    blocks = [block("a", submodules=3), block("b", submodules=3, seed=5)]
    largest = [[float(one.max()) for maps in of.attention for one in maps] for of in blocks]
    assert greatest(blocks) == max(map(max, largest))
    assert mean_greatest(blocks[1]) == pytest.approx(sum(largest[1]) / len(largest[1]))


@pytest.mark.parametrize("occluded", [None, [True, False, True, False, False, True]])
def test_maximum_weights_stand_above_the_heatmaps(occluded: list[bool] | None) -> None:
    of = block("", submodules=4)
    figure = occlusion(of, occluded)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 6 * 5
    for frame in range(6):
        frame_axes, *maps = pictures[5 * frame : 5 * frame + 5]
        hidden = occluded is not None and occluded[frame]
        assert frame_axes.get_title() == ("occluded" if hidden else "")
        assert len(frame_axes.patches) == int(hidden)
        for submodule, axes in enumerate(maps):
            assert axes.get_title() == f"{of.attention[frame, submodule].max():.3f}"
    assert {f"submodule\n{number}" for number in range(1, 5)} <= set(texts(figure))
    assert texts(figure).count("maximum") == 4


@pytest.mark.parametrize("submodules", [1, 4, 8, 64])
def test_pictures_do_not_overlap_and_keep_their_shape(submodules: int) -> None:
    of = block("", submodules=submodules)
    figure = occlusion(of, [True] * 6)
    high = figure.get_figheight()
    if submodules <= 8:
        assert high <= 9, "a page"
    boxes = [axes.get_position() for axes in figure.axes if axes.images]
    for box in boxes:
        assert box.height * high == pytest.approx(2 * box.width * WIDTH)
        assert box.width * WIDTH > 0.29
    for column in range(6):
        *above, _ = boxes[column * (1 + submodules) : (column + 1) * (1 + submodules)]
        below = boxes[column * (1 + submodules) + 1 : (column + 1) * (1 + submodules)]
        for upper, lower in zip(above, below, strict=True):
            # With room for a line of text, in inches.
            assert (upper.y0 - lower.y1) * high > TEXT / 72


def curves(arms: list[str], ranks: int = 30) -> pd.DataFrame:
    rows = [(arm, rank, 1 - 1 / (rank + 1)) for arm in arms for rank in range(1, ranks + 1)]
    return pd.DataFrame(rows, columns=["arm", "rank", "cmc"])


def test_a_cmc_figure_has_every_arm_in_its_colour() -> None:
    arms = ["baseline", "multi_mam", "mine"]
    figure = cmc(curves(arms), {"baseline": {"rank1": [0.4, 0.6]}, "other": {"rank1": [0, 1]}})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in arms}
    for arm, style in styles(arms).items():
        line = lines[arm]
        assert (line.get_color(), line.get_marker()) == (style.colour, style.marker)
        assert line.get_xdata().tolist() == list(range(1, 21))
        assert line.get_ydata().tolist() == [100 * (1 - 1 / (r + 1)) for r in range(1, 21)]
    legend = axes.get_legend()
    assert legend is not None and [t.get_text() for t in legend.get_texts()] == arms
    intervals = [line for line in axes.lines if line.get_ydata().tolist() == [40, 60]]
    assert len(intervals) == 1 and intervals[0].get_color() == styles(arms)["baseline"].colour


def test_a_small_gallery_has_few_ranks_and_no_interval() -> None:
    figure = cmc(curves(["baseline"], ranks=3), {})
    assert len(figure.axes[0].lines) == 1 and "95 %" not in texts(figure)
    assert opened(png(figure)).width == round(WIDTH * DPI)


def histories() -> pd.DataFrame:
    rows = [
        {"arm": arm, "trial": trial, "iterations": 15 * step, "loss": 5.0 / step + trial,
         "loss_triplet": 1.0, "loss_concentration": 2.0 if arm == "multi_mam" else np.nan}
        for arm in ("baseline", "multi_mam") for trial in (0, 1) for step in (1, 2, 3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_training_has_a_panel_for_each_term_that_there_is() -> None:
    figure = training(histories())
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["loss", "triplet loss", "concentration loss"]
    assert len(panels["loss"].lines) == 2 * (2 + 1), "each trial, and their mean"
    assert len(panels["concentration loss"].lines) == 2 + 1, "the baseline has no such loss"
    mean = panels["loss"].lines[2]
    assert mean.get_ydata().tolist() == [5.5, 3.0, pytest.approx(5 / 3 + 0.5)]


def test_text_is_legible_and_within_the_figure() -> None:
    of, many = block("a title", submodules=4), block("", submodules=8)
    every = [
        heatmaps([of, of]),
        occlusion(of, [True] * 6),
        occlusion(many, [True] * 6),
        cmc(curves(["baseline", "cmmanet-random_interval"]), {}),
        training(histories()),
    ]
    for figure in every:
        canvas = FigureCanvasAgg(figure)
        drawn = figure.get_tightbbox(canvas.get_renderer())  # of what is drawn, in inches
        assert drawn.x0 >= 0 and drawn.x1 <= WIDTH, drawn
        assert drawn.y0 >= 0 and drawn.y1 <= figure.get_figheight(), drawn
        for text in figure.findobj(Text):
            assert not text.get_text() or text.get_fontsize() >= TEXT, text


def test_the_same_figure_is_the_same_bytes() -> None:
    assert png(training(histories())) == png(training(histories()))


def test_paper_stays_white() -> None:
    arms = ["baseline", "single_mam", "multi_mam", "cmmanet-random_interval"]
    picture = opened(png(cmc(curves(arms), {}))).convert("RGB")
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_large_pictures_give_up_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    whole = encode(noise)
    monkeypatch.setattr(sheet, "MAX_BYTES", len(whole) - 1)
    content = encode(noise)
    assert len(content) < len(whole) and opened(content).size == (120, 90)
    monkeypatch.setattr(sheet, "MAX_BYTES", 10)
    assert len(opened(encode(noise)).getcolors()) <= 16
    flat = Image.new("RGB", (120, 90), (12, 200, 7))
    assert opened(encode(flat)).convert("RGB").getpixel((5, 5)) == (12, 200, 7)


def test_what_is_not_drawn_is_listed_without_a_file() -> None:
    reason = "not drawn: no MAM"
    listed = not_drawn("a.png", "title", "Fig. 3", "no MAM").listed()
    assert (listed.file, listed.title, listed.paper) == (None, "title", "Fig. 3")
    assert listed.caption == listed.alt == reason
    assert Entry("a.png", "", None, "", "", b"png").listed().file == "a.png"


@pytest.mark.parametrize("name", ["cmc", "training"])
def test_plots_have_the_colours_of_the_figures(name: str) -> None:
    template = json.loads((REPOSITORY / f".dvc/plots/{name}.json").read_text())
    scale = template.get("spec", template)["encoding"]["color"]["scale"]
    colours = {arm: style.colour for arm, style in styles(scale["domain"]).items()}
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == colours
    assert len(colours) == 6
