"""The surveillance cameras of the synthetic dataset: viewpoint, place, light and sensor."""

import io
import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmmanet.datasets.rendered.canvas import Colour

# Yaw of the first, second, … camera in radians: front, back, sides and oblique.
_VIEWPOINTS = (0.25, 2.8, 1.4, -0.75, -1.65, 2.2)
_BACKDROPS = ("brick", "shops", "hedge", "concrete")
_GROUNDS = ("tiles", "street", "asphalt")


class Stream(IntEnum):
    """The purpose of a random generator."""

    CAMERA = 0
    IDENTITY = 1
    ITINERARY = 2
    TRACKLET = 3
    OCCLUDER = 4


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the generator for one purpose, such as one identity's appearance."""
    return np.random.default_rng([seed, int(stream), *key])


@dataclass(frozen=True)
class Camera:
    """A camera's viewpoint and how it renders a scene."""

    yaw: float
    pitch: float
    light: int
    resolution: float
    """Resolution of the camera as a share of the crop's size."""
    response: tuple[int, ...]
    """New value of each of 0 … 255, for R, then G, then B."""
    shading: NDArray[np.uint32]
    """Brightness across the crop in 1/256, [H, W, 1]."""
    noise: int
    quality: int
    backdrop: NDArray[np.uint8]
    """The scene behind the pedestrians, [1.25 H, 6 H, 3]."""


@lru_cache(maxsize=16)
def sample_camera(seed: int, number: int, height: int, width: int) -> Camera:
    """Draw camera `number` (from 1) for crops of a size; the same for the same seed."""
    rng = generator(seed, Stream.CAMERA, number)
    pitch, light = rng.uniform(0.06, 0.28), 1 if rng.integers(2) else -1
    gamma, contrast, lift = rng.uniform(0.85, 1.2), rng.uniform(0.78, 1.08), rng.uniform(-14, 14)
    response = []
    for _ in range(3):
        cast = rng.uniform(0.93, 1.07)
        for value in range(256):
            curved = 255 * math.pow(value / 255, gamma) * cast
            response.append(min(255, max(0, round(128 + contrast * (curved - 128) + lift))))
    across, down = int(rng.integers(0, 45)), int(rng.integers(-30, 31))
    columns = np.arange(width) * across * light // width - across * light // 2
    rows = np.arange(height) * down // height - down // 2
    shading = (256 + columns[None, :, None] + rows[:, None, None]).astype(np.uint32)
    return Camera(
        yaw=_VIEWPOINTS[(number - 1) % len(_VIEWPOINTS)] + rng.uniform(-0.1, 0.1),
        pitch=pitch,
        light=light,
        resolution=rng.uniform(0.5, 0.95),
        response=tuple(response),
        shading=shading,
        noise=int(rng.integers(2, 7)),
        quality=int(rng.integers(60, 91)),
        backdrop=_draw_backdrop(rng, number, height),
    )


@dataclass(frozen=True)
class _Paint:
    """Paint in shades of one grey: a scene has few colours."""

    draw: ImageDraw.ImageDraw
    rng: np.random.Generator
    grey: int
    warm: int

    def tone(self, lighter: int, green: int = 0) -> Colour:
        grey, warm = self.grey + lighter, self.warm
        r, g, b = (min(255, max(0, c)) for c in (grey + warm, grey + green, grey - warm - green))
        return r, g, b

    def any_tone(self, low: int, high: int, green: int = 0) -> Colour:
        spread = int(self.rng.integers(-green, green + 1))
        return self.tone(int(self.rng.integers(low, high)), spread)


def _draw_wall(paint: _Paint, kind: str, unit: int, width: int, level: int) -> None:
    """Draw from the top down to `level`; `unit` is the height of a crop."""
    draw, rng, tone = paint.draw, paint.rng, paint.tone
    if kind == "brick":
        step = unit // 14
        for row, y in enumerate(range(0, level, step)):
            for x in range(step * (row % 2), width, 2 * step):
                brick = (x, y, x + 2 * step, y + step)
                draw.rectangle(brick, fill=paint.any_tone(-14, 9), outline=tone(22))
    elif kind == "shops":
        for x in range(0, width, unit * 3 // 4):
            left, top, right, low = x + unit // 16, unit // 8, x + unit * 5 // 8, level - unit // 10
            pane = (left, top, right, low)
            draw.rectangle(pane, fill=paint.any_tone(-85, -45), outline=tone(35), width=5)
            for _ in range(6):
                x0, y0 = int(rng.integers(left, right)), int(rng.integers(top, low))
                goods = (x0, y0, max(x0, min(x0 + unit // 9, right - 5)), y0 + unit // 12)
                draw.rectangle(goods, fill=paint.any_tone(-60, 30, green=25))
    elif kind == "hedge":
        for _ in range(2500):
            x, y, r = int(rng.integers(width)), int(rng.integers(level)), int(rng.integers(4, 14))
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone(int(rng.integers(-75, -25)), 26))
    else:
        for x in range(0, width, unit * 2 // 3):
            draw.rectangle((x, 0, x + 4, level), fill=tone(-30))
        draw.rectangle((0, level - unit // 12, width, level), fill=tone(-22))


def _draw_ground(paint: _Paint, kind: str, unit: int, width: int, level: int, bottom: int) -> None:
    """Draw from `level` down to `bottom`."""
    draw, tone = paint.draw, paint.tone
    shift = int(paint.rng.integers(-40, 31))
    draw.rectangle((0, level, width, bottom), fill=tone(shift))
    if kind == "tiles":
        gap, y = unit // 26, level
        while y < bottom:
            draw.line((0, y, width, y), fill=tone(shift - 22), width=2)
            y, gap = y + gap, gap * 13 // 10
        slant = int(paint.rng.integers(-unit // 2, unit // 2))
        for x in range(-unit, width + unit, unit // 5):
            draw.line((x, level, x + slant, bottom), fill=tone(shift - 18), width=2)
    elif kind == "street":
        kerb = level + unit // 8
        draw.rectangle((0, kerb, width, kerb + unit // 40), fill=tone(45))
        draw.rectangle((0, kerb + unit // 40, width, bottom), fill=tone(-50))
        for x in range(0, width, unit // 2):
            dash = (x, bottom - unit // 9, x + unit // 4, bottom - unit // 12)
            draw.rectangle(dash, fill=tone(60))


def _draw_backdrop(rng: np.random.Generator, number: int, crop: int) -> NDArray[np.uint8]:
    """Draw a wall, the ground and some street furniture, for crops of a given height."""
    unit = 2 * crop  # drawn at twice its size
    width, height = 6 * unit, unit * 5 // 4
    level = round(unit * rng.uniform(0.5, 0.85))  # where wall and ground meet
    grey, warm = int(rng.integers(95, 175)), int(rng.integers(-12, 13))
    image = Image.new("RGB", (width, height), (grey + warm, grey, grey - warm))
    paint = _Paint(ImageDraw.Draw(image), rng, grey, warm)
    _draw_wall(paint, _BACKDROPS[(number - 1) % len(_BACKDROPS)], unit, width, level)
    _draw_ground(paint, _GROUNDS[(number - 1) % len(_GROUNDS)], unit, width, level, height)
    for _ in range(7):  # doors, posts and the like
        x, wide = int(rng.integers(width)), int(rng.integers(unit // 30, unit // 4))
        tall, foot = int(rng.integers(unit // 4, unit)), level + int(rng.integers(unit // 20))
        paint.draw.rectangle((x, foot - tall, x + wide, foot), fill=paint.any_tone(-75, 50, 12))
        edge = (x + wide * 3 // 4, foot - tall, x + wide, foot)
        paint.draw.rectangle(edge, fill=paint.tone(-70))
    small = np.asarray(image.reduce(2), np.int16)
    rows, columns, _ = small.shape
    blotches = rng.integers(-9, 10, (rows // 16 + 1, columns // 16 + 1, 1))
    rough = blotches.repeat(16, 0).repeat(16, 1)[:rows, :columns]
    rough = rough + rng.integers(-6, 7, (rows, columns, 1))
    scene: NDArray[np.uint8] = np.clip(small + rough, 0, 255).astype(np.uint8)
    return scene


def photograph(picture: NDArray[np.uint8], camera: Camera, rng: np.random.Generator) -> bytes:
    """Pass a picture [H, W, 3] through a camera: light, sharpness, colours, noise, JPEG."""
    height, width, _ = picture.shape
    lit = np.minimum(picture * camera.shading >> 8, 255).astype(np.uint8)
    seen = (round(width * camera.resolution), round(height * camera.resolution))
    image = Image.fromarray(lit).resize(seen, Image.Resampling.BILINEAR)
    image = image.resize((width, height), Image.Resampling.BICUBIC).point(camera.response)
    noise = rng.integers(-camera.noise, camera.noise + 1, (2, height, width, 3), np.int8)
    noisy = np.asarray(image, np.int16) + noise[0] + noise[1]
    return encode(np.clip(noisy, 0, 255).astype(np.uint8), "JPEG", quality=camera.quality)


def encode(pixels: NDArray[np.uint8], image_format: str, **options: int) -> bytes:
    """Encode pixels [H, W] or [H, W, 3] in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()
