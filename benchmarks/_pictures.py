"""Pictures of the size and weight of MARS's crops, for benchmarks that need no data."""

import io

import numpy as np
from PIL import Image


def picture(seed: int) -> Image.Image:
    """A crop of 128×256: smooth areas, edges and noise; about 5 kB as a JPEG, as in MARS."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (16, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((128, 256), Image.Resampling.BICUBIC))
    noise = generator.normal(0, 6, (256, 128, 1))
    return Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: int) -> bytes:
    """Give the bytes of the picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
