"""Attention laid over frames: Fig. 1 and Fig. 3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from cmmanet.reporting.colours import WRONG
from cmmanet.reporting.figures.sheet import TEXT, WIDTH, new_figure

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Shown = npt.NDArray[np.float64]

HOW = (
    "Colour is the share of a map's attention at a position (Eq. 2, each map sums to 1), from 0 to "
    "{greatest:.2f}, the largest in this figure, interpolated between the pixels on which cells "
    "have their receptive fields centred, and laid over the grey frame."
)
"""What captions say of the colours."""

# Inches around the frames.
_LEFT, _BAR, _TOP, _BOTTOM, _GAP, _BETWEEN = 0.74, 0.8, 0.3, 0.08, 0.03, 0.16
# Of Fig. 3 with all its rows, a page less the caption; of its frames however many rows there are.
_TALLEST, _SMALLEST = 8.4, 0.6
# No attention shows the frame alone, in light grey; the most is the darkest: print keeps the order.
_PALEST, _MIDDLE = 0.5, 0.8


Centres = tuple[Sequence[float], Sequence[float]]
"""Rows [h] and columns [w] of pixels that cells are centred on."""


class Block(NamedTuple):
    """Frames uint8 [F, H, W, 3] with their attention float32 [F, K, h, w], under a title."""

    title: str
    frames: Pixels
    attention: Floats
    centres: Centres


def greatest(blocks: Sequence[Block]) -> float:
    """The largest share of attention that a figure of these shows."""
    return max(float(block.attention.max()) for block in blocks)


def mean_greatest(block: Block) -> float:
    """The largest share of attention at one position, a mean over frames and submodules."""
    return float(block.attention.max((2, 3)).mean())


def heatmaps(blocks: Sequence[Block]) -> Figure:
    """Blocks side by side; in each a row of frames and below it a row for each submodule."""
    rows = 1 + max(block.attention.shape[1] for block in blocks)
    columns = sum(len(block.frames) for block in blocks)
    gaps = _GAP * columns + _BETWEEN * (len(blocks) - 1)
    width = (WIDTH - _LEFT - _BAR - gaps) / columns
    height = width * blocks[0].frames.shape[1] / blocks[0].frames.shape[2]
    figure = new_figure(_TOP + _BOTTOM + rows * (height + _GAP))
    top = figure.get_figheight() - _TOP
    scale = Normalize(0.0, greatest(blocks))
    left = _LEFT
    for block in blocks:
        middle = left + len(block.frames) * (width + _GAP) / 2
        figure.text(middle / WIDTH, 1 - 0.15 / figure.get_figheight(), block.title,
                    ha="center", va="center", fontsize=TEXT)  # fmt: skip
        for column, (frame, maps) in enumerate(zip(block.frames, block.attention, strict=True)):
            shown = [frame, *(_overlaid(frame, one, block.centres, scale) for one in maps)]
            for row, pixels in enumerate(shown):
                below = top - (row + 1) * (height + _GAP)
                _picture(figure, pixels, left + column * (width + _GAP), below, width, height)
        left += len(block.frames) * (width + _GAP) + _BETWEEN
    for row, text in enumerate(["frames", *_names(rows - 1)]):
        _row_name(figure, text, top - row * (height + _GAP) - height / 2)
    _colour_bar(figure, scale, top - rows * (height + _GAP), rows * (height + _GAP))
    return figure


def occlusion(block: Block, occluded: Sequence[bool] | None) -> Figure:
    """Frames, and below them every submodule's heatmap under its maximum weight (Fig. 3).

    Args:
        block: its title is not shown.
        occluded: which frames are, marked so; None where nobody knows.
    """
    _, frames, attention, centres = block
    submodules = attention.shape[1]
    title, gap = 0.2, 0.1
    # As large as fits the page, in both directions.
    shape = frames.shape[1] / frames.shape[2]
    width = min(0.78, max(_SMALLEST, _TALLEST / (1 + submodules) - title) / shape)
    height = width * shape
    row_height = height + title
    step = (WIDTH - _LEFT - _BAR - gap) / len(frames)
    figure = new_figure((1 + submodules) * row_height + 2 * _BOTTOM)
    top = figure.get_figheight() - _BOTTOM
    scale = Normalize(0.0, float(attention.max()))
    for column, (frame, maps) in enumerate(zip(frames, attention, strict=True)):
        left = _LEFT + column * step + (step - width) / 2
        hidden = occluded is not None and occluded[column]
        axes = _picture(figure, frame, left, top - row_height, width, height)
        axes.set_title("occluded" if hidden else "", fontsize=TEXT, pad=3)
        if hidden:
            box = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, clip_on=False,
                            edgecolor=WRONG, linewidth=2.5, linestyle=(0, (3, 1.5)))  # fmt: skip
            axes.add_patch(box)
        for row, one in enumerate(maps, start=1):
            below = top - (row + 1) * row_height
            overlaid = _overlaid(frame, one, centres, scale)
            axes = _picture(figure, overlaid, left, below, width, height)
            axes.set_title(f"{one.max():.3f}", fontsize=TEXT, pad=2)
    for row, text in enumerate(["frames", *_names(submodules)]):
        below = top - (row + 1) * row_height
        _row_name(figure, text, below + height / 2)
        if row:
            # Level with the numbers, which stand 2 points above their pictures.
            _row_name(figure, "maximum", below + height + (2 + TEXT / 4) / 72)
    bottom = top - (1 + submodules) * row_height
    _colour_bar(figure, scale, bottom, submodules * row_height - title)
    return figure


def _names(submodules: int) -> list[str]:
    return [f"submodule\n{number}" for number in range(1, submodules + 1)]


def _overlaid(frame: Pixels, attention: Floats, centres: Centres, scale: Normalize) -> Pixels:
    """A frame uint8 [H, W, 3] in grey under its attention float32 [h, w] in colour."""
    grey = np.asarray(Image.fromarray(frame).convert("L"), np.float64) / 255
    down, across = (
        _between(pixels, along) for pixels, along in zip(grey.shape, centres, strict=True)
    )
    smooth = down @ attention @ across.T
    shown = _blended(scale(smooth).filled(0), _PALEST + (1 - _PALEST) * grey)
    pixels: Pixels = (255 * shown).round().astype(np.uint8)
    return pixels


def _between(pixels: int, centres: Sequence[float]) -> Shown:
    """The weights [pixels, cells] of cells in the pixels between, and beyond, their centres."""
    places = np.arange(pixels)
    return np.stack([np.interp(places, centres, cell) for cell in np.eye(len(centres))], 1)


def _blended(value: npt.NDArray[np.float64], grey: npt.NDArray[np.float64]) -> Shown:
    """The colour [..., 3] of values [...] from 0 to 1 over a grey."""
    heat = colormaps["inferno_r"](0.12 + 0.73 * value)[..., :3]
    weight = np.sqrt(np.clip(value, 0, 1))[..., None] * 0.9
    colour: Shown = weight * heat + (1 - weight) * grey[..., None]
    return colour


def _picture(
    figure: Figure, pixels: Pixels, left: float, bottom: float, width: float, height: float
) -> Axes:
    """Pixels at a place in inches."""
    high = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, bottom / high, width / WIDTH, height / high))
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return axes


def _row_name(figure: Figure, text: str, middle: float) -> None:
    at = (_LEFT - 0.06) / WIDTH, middle / figure.get_figheight()
    figure.text(*at, text, ha="right", va="center", fontsize=TEXT)


def _colour_bar(figure: Figure, scale: Normalize, bottom: float, height: float) -> None:
    """The scale as the heatmaps show it, over a frame of one grey."""
    high = figure.get_figheight()
    axes = figure.add_axes(
        ((WIDTH - _BAR + 0.1) / WIDTH, bottom / high, 0.1 / WIDTH, height / high)
    )
    shown = ListedColormap(_blended(np.linspace(0, 1, 64), np.full(64, _MIDDLE)))
    bar = figure.colorbar(ScalarMappable(scale, shown), cax=axes)
    bar.ax.tick_params(labelsize=TEXT)
    # At the edge, whatever the numbers' width.
    at = 1 - 0.08 / WIDTH, (bottom + height / 2) / high
    figure.text(*at, "share of attention", ha="center", va="center", fontsize=TEXT, rotation=90)
