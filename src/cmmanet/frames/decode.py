"""Bytes of one frame to a uint8 picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cmmanet.frames.archive import FrameStore

# Crops have some ten thousand pixels; Pillow refuses what claims to be far larger.
MAX_PIXELS = 4096 * 4096


class DecodeError(ValueError):
    """Bytes that are no whole image."""


def decode(data: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Decode and, where the size differs, resize with antialiasing: uint8 [height, width, 3].

    Pillow and not torchvision's decoder: that one fills the missing part of a truncated
    JPEG with grey and says nothing.

    Raises:
        DecodeError: if the bytes are no image, are cut short, or claim an absurd size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DecodeError(f"claims {image.width} x {image.height} pixels")
            picture = image.convert("RGB")
    except UnidentifiedImageError:
        raise DecodeError(f"no JPEG or PNG image ({len(data):,} bytes)") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(str(error)) from None
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def read_frames(
    store: FrameStore, rows: Sequence[int], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Read and decode frames by their rows in the index: uint8 [n, height, width, 3].

    A row that repeats is decoded once.

    Raises:
        DecodeError: names the frame and the archive that it lies in.
    """
    frames = np.empty((len(rows), height, width, 3), np.uint8)
    first: dict[int, int] = {}
    for position, row in enumerate(rows):
        if row in first:
            frames[position] = frames[first[row]]
            continue
        first[row] = position
        try:
            frames[position] = decode(store.read(row), height, width)
        except DecodeError as error:
            raise DecodeError(
                f"{store.describe(row)}: does not decode: {error}; replace the archive"
            ) from None
    return frames
