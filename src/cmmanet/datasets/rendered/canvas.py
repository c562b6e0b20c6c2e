"""The drawing surface of the synthetic dataset: colours and body-part labels in one image."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLING = 3  # odd: a pixel's centre is a sample, and labels need no vote


class Part(IntEnum):
    """Labels of a label map; hair and headgear belong to the head."""

    BACKGROUND = 0
    HEAD = 1
    TORSO = 2
    ARMS = 3
    LEGS = 4
    FEET = 5
    BAG = 6
    OCCLUDER = 7


class Canvas:
    """An index image at `SUPERSAMPLING` times the crop's size; each index is a colour and a part.

    Coordinates are pixels of the crop, not of the larger image.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._image = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)
        self._palette = [0, 0, 0, 0]  # RGBA
        self._parts = [int(Part.BACKGROUND)]

    def ink(self, colour: Colour, part: Part, alpha: int = 255) -> int:
        """Return a new index with a colour and a label."""
        self._palette += [*colour, alpha]
        self._parts.append(int(part))
        return len(self._parts) - 1

    def polygon(self, points: Sequence[Point], ink: int) -> None:
        """Fill a polygon."""
        s = SUPERSAMPLING
        self._draw.polygon([(round(x * s), round(y * s)) for x, y in points], fill=ink)

    def box(self, left: float, top: float, right: float, bottom: float, ink: int) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], ink)

    def ellipse(self, x: float, y: float, half_width: float, half_height: float, ink: int) -> None:
        """Fill an upright ellipse around (x, y)."""
        s = SUPERSAMPLING
        corners = (x - half_width, y - half_height, x + half_width, y + half_height)
        self._draw.ellipse([round(value * s) for value in corners], fill=ink)

    def compose(self, background: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Composite the drawing over a background.

        Args:
            background: [H, W, 3].

        Returns:
            The picture [H, W, 3] and its label map [H, W].
        """
        labels = np.zeros(256, np.uint8)
        labels[: len(self._parts)] = self._parts
        centre = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
        label_map = labels[np.asarray(self._image)[centre, centre]]
        self._image.putpalette(self._palette, "RGBA")
        # Averaged with the colours multiplied by alpha (RGBa), else edges shine.
        averaged = self._image.convert("RGBA").convert("RGBa").reduce(SUPERSAMPLING)
        drawn = np.asarray(averaged, np.uint16)
        through = (255 - drawn[..., 3:]) * background
        picture = np.minimum(drawn[..., :3] + through // 255, 255).astype(np.uint8)
        return picture, label_map
