"""Pictures of what the network is shown, and of what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

# Of a retrieval strip, in pixels: a line of text; between answers, before them, between rows.
LINE, GAP, FIRST_GAP, ROW_GAP = 18, 6, 30, 16
_FONT_SIZE = 13


def contact_sheet(clips: Tensor, columns: int) -> Image.Image:
    """Clips uint8 [B, N, 3, H, W] side by side, `columns` of them in a row."""
    batch, frames, _, height, width = clips.shape
    gap = 4
    rows = -(-batch // columns)
    sheet = Image.new(
        "RGB", (columns * (frames * width + gap) - gap, rows * (height + gap) - gap), "white"
    )
    for number, clip in enumerate(clips):
        row, column = divmod(number, columns)
        for frame, pixels in enumerate(clip):
            place = (column * (frames * width + gap) + frame * width, row * (height + gap))
            sheet.paste(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()), place)
    return sheet


class Labelled(NamedTuple):
    """A frame uint8 [H, W, 3], with a line above it and one below."""

    pixels: npt.NDArray[np.uint8]
    above: str
    below: str


def retrieval_strip(rows: Sequence[tuple[Labelled, Sequence[Labelled]]]) -> Image.Image:
    """A row for each query: its frame, a gap, and the frames of its answers in their order.

    All frames have one size. A line that is wider than its frame loses its beginning: the
    ends of file names tell them apart.
    """
    height, width, _ = rows[0][0].pixels.shape
    longest = max(len(answers) for _, answers in rows)
    row_height = height + 2 * LINE + ROW_GAP
    size = (GAP + width + FIRST_GAP + longest * (width + GAP), len(rows) * row_height)
    strip = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(_FONT_SIZE)
    for row, (query, answers) in enumerate(rows):
        top = ROW_GAP // 2 + row * row_height
        for column, shown in enumerate((query, *answers)):
            left = GAP + column * (width + GAP) + (FIRST_GAP - GAP if column else 0)
            strip.paste(Image.fromarray(shown.pixels), (left, top + LINE))
            for y, text in ((top, shown.above), (top + LINE + height, shown.below)):
                middle = (left + width // 2, y + LINE // 2)
                draw.text(middle, _fitted(text, font, width), "black", font, anchor="mm")
    return strip


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    shown = text
    while text and font.getlength(shown) > width:
        text = text[1:]
        shown = f"…{text}"
    return shown
