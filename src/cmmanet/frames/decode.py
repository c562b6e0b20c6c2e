"""Decodes the bytes of a frame to uint8 pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cmmanet.frames.archive import FrameStore

# Crops have some ten thousand pixels; an image that claims far more is not decoded.
MAX_PIXELS = 4096 * 4096


class DecodeError(ValueError):
    """Bytes that are not a whole image."""


def decode(data: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Decode and, where the size differs, resize with antialiasing: uint8 [height, width, 3].

    Raises:
        DecodeError: if the bytes are not an image, are cut short, or claim an absurd size.
    """
    picture = np.empty((height, width, 3), np.uint8)
    decode_into(data, picture)
    return picture


def decode_into(data: bytes, picture: npt.NDArray[np.uint8]) -> None:
    """Decode as `decode` does, into `picture`: uint8 [height, width, 3].

    Copying the pixels would take a quarter of decoding's time.

    Raises:
        DecodeError: as `decode` does; the content of `picture` is undefined then.
    """
    if _decode_jpeg(data, picture):
        return
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check_size(image.height, image.width)
            _resize_into(image.convert("RGB"), picture)
    except UnidentifiedImageError:
        raise DecodeError(f"not a JPEG or PNG image ({len(data):,} bytes)") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(str(error)) from None


def _decode_jpeg(data: bytes, picture: npt.NDArray[np.uint8]) -> bool:
    """Decode a colour or grey JPEG; return false for anything else, and leave `picture` alone.

    simplejpeg gives the same pixels as Pillow, 1.6 to 3 times as fast (benchmarks/decoders.py),
    and refuses a baseline JPEG that is cut short even where an end marker follows. There Pillow
    and torchvision silently fill the missing part with grey.
    """
    # Imported here: the GPU machines' image lacks it, and need not have it to import this module.
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    if colours not in ("YCbCr", "Gray", "RGB"):
        return False
    _check_size(height, width)
    try:
        if (height, width) == picture.shape[:2]:
            simplejpeg.decode_jpeg(data, buffer=picture)
        else:
            _resize_into(Image.fromarray(simplejpeg.decode_jpeg(data)), picture)
    except ValueError as error:
        raise DecodeError(str(error)) from None
    return True


def _resize_into(image: Image.Image, picture: npt.NDArray[np.uint8]) -> None:
    height, width, _ = picture.shape
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    picture[...] = np.asarray(image)


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise DecodeError(f"claims {width} x {height} pixels")


def read_frames(
    store: FrameStore, rows: Sequence[int], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Read and decode frames by their rows in the index: uint8 [n, height, width, 3].

    A row that repeats is decoded once.

    Raises:
        DecodeError: names the frame and its archive.
    """
    frames = np.empty((len(rows), height, width, 3), np.uint8)
    first: dict[int, int] = {}
    for position, row in enumerate(rows):
        if row in first:
            frames[position] = frames[first[row]]
            continue
        first[row] = position
        try:
            decode_into(store.read(row), frames[position])
        except DecodeError as error:
            raise DecodeError(
                f"{store.describe(row)}: does not decode: {error}; replace it"
            ) from None
    return frames
