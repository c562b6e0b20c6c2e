"""Pictures of what the network is shown, and of what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cmmanet.reporting.colours import RIGHT, WRONG

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
    """A frame uint8 [H, W, 3], with a line above it and one below.

    Of an answer that is known to be right or wrong, framed and marked so.
    """

    pixels: npt.NDArray[np.uint8]
    above: str
    below: str
    right: bool | None = None


def retrieval_strip(
    rows: Sequence[tuple[Labelled, Sequence[Labelled]]], scale: float = 1.0
) -> Image.Image:
    """A row for each query: its frame, a gap, and the frames of its answers in their order.

    All frames have one size; `scale` is that of text and gaps. A line that is wider than its frame
    loses its beginning: the ends of file names tell them apart.
    """
    height, width, _ = rows[0][0].pixels.shape
    line, gap, first_gap, row_gap = (
        round(scale * pixels) for pixels in (LINE, GAP, FIRST_GAP, ROW_GAP)
    )
    longest = max(len(answers) for _, answers in rows)
    row_height = height + 2 * line + row_gap
    size = (gap + width + first_gap + longest * (width + gap), len(rows) * row_height)
    strip = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(scale * _FONT_SIZE)
    for row, (query, answers) in enumerate(rows):
        top = row_gap // 2 + row * row_height
        for column, shown in enumerate((query, *answers)):
            left = gap + column * (width + gap) + (first_gap - gap if column else 0)
            for y, text in ((top, shown.above), (top + line + height, shown.below)):
                middle = (left + width // 2, y + line // 2)
                draw.text(middle, _fitted(text, font, width), "black", font, anchor="mm")
            if shown.right is not None:
                frame = (left, top + line, left + width - 1, top + line + height - 1)
                _draw_frame(draw, frame, gap // 2 - 1, shown.right)
                _draw_mark(draw, (left + width - line, top), line, shown.right)
            strip.paste(Image.fromarray(shown.pixels), (left, top + line))
    return strip


def _draw_frame(
    draw: ImageDraw.ImageDraw, inner: tuple[int, int, int, int], width: int, right: bool
) -> None:
    """Frame a box from outside: solid where the answer is right, dashed where it is wrong."""
    left, top = inner[0] - width, inner[1] - width
    end, bottom = inner[2] + width, inner[3] + width
    if right:
        draw.rectangle((left, top, end, bottom), outline=RIGHT, width=width)
        return
    dash = 3 * width
    for x in range(left, end + 1, 2 * dash):
        for y in (top, inner[3] + 1):
            draw.rectangle((x, y, min(x + dash - 1, end), y + width - 1), WRONG)
    for y in range(top, bottom + 1, 2 * dash):
        for x in (left, inner[2] + 1):
            draw.rectangle((x, y, x + width - 1, min(y + dash - 1, bottom)), WRONG)


def _draw_mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: int, right: bool) -> None:
    """A tick or a cross: right and wrong are told apart without colour as well."""

    def line(*places: tuple[float, float]) -> None:
        points = [(corner[0] + x * size, corner[1] + y * size) for x, y in places]
        draw.line(points, RIGHT if right else WRONG, max(2, size // 8), joint="curve")

    if right:
        line((0.2, 0.5), (0.4, 0.7), (0.8, 0.2))
    else:
        line((0.25, 0.2), (0.75, 0.7))
        line((0.25, 0.7), (0.75, 0.2))


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    shown = text
    while text and font.getlength(shown) > width:
        text = text[1:]
        shown = f"…{text}"
    return shown
