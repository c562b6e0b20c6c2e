"""What all figures share: their size, their text, and the bytes of a PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Inches, the width of a two-column page; dots an inch; points.
WIDTH, DPI, TEXT = 7.0, 160, 8.0
# Beyond it, colours are given up: figures are committed, and sent with pages.
MAX_BYTES = 300_000


def new_figure(height: float) -> Figure:
    """An empty figure as wide as the page, of a height in inches."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")


def plain_axes(axes: Axes) -> None:
    """Open axes with a light grid, for curves."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    """A figure as a PNG, the same bytes for the same figure."""
    pixels = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    figure.savefig(pixels, format="raw", dpi=DPI)
    width, height = canvas.get_width_height()
    rgba = np.frombuffer(pixels.getvalue(), np.uint8).reshape(height, width, 4)
    return encode(Image.fromarray(rgba[..., :3].copy()))


def encode(picture: Image.Image) -> bytes:
    """A picture as a PNG, in as many colours as `MAX_BYTES` allows, or else in 16."""
    content, picture = b"", picture.convert("RGB")
    # k-means over every pixel of photographs would take minutes.
    some = picture.resize(
        (-(-picture.width // 3), -(-picture.height // 3)), Image.Resampling.NEAREST
    )
    for colours in (256, 128, 64, 32, 16):
        palette = some.quantize(colours, kmeans=2, dither=Image.Dither.NONE)
        few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
        _keep_white(few, picture)
        buffer = io.BytesIO()
        few.save(buffer, "PNG", optimize=True, dpi=(DPI, DPI))
        content = buffer.getvalue()
        if len(content) <= MAX_BYTES:
            break
    return content


def _keep_white(few: Image.Image, picture: Image.Image) -> None:
    """White in few colours is white too: averaged with its neighbours, it would be grey."""
    white = (np.asarray(picture) == 255).all(2)
    if white.any():
        colours = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
        colours[np.asarray(few)[white][0]] = 255
        few.putpalette(colours.tobytes())
