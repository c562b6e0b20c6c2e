"""Pictures of what the network is shown."""

from __future__ import annotations

from PIL import Image
from torch import Tensor


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
