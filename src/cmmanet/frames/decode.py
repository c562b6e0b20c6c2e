"""Decodes the bytes of a frame to uint8 RGB pixels.

Images in other forms are converted by one rule each, or refused with a `DecodeError`:

| in the file | result |
|---|---|
| JPEG of YCbCr, RGB or grey, 8 bits | libjpeg's pixels |
| JPEG of CMYK or YCCK | C·K/255, M·K/255, Y·K/255: inverted inks, as of Adobe |
| JPEG of other depths, of 2 layers, of uncommon subsampling | refused |
| PNG of 1 to 8 bits; grey or palette | its colours; an index outside the palette is refused |
| PNG of 16 bits | the upper 8 bits |
| alpha: a channel, a palette's, a transparent colour | laid over `BACKGROUND`, then resized |
| 16 bits with a transparent colour | refused |
| EXIF orientation | applied; EXIF that cannot be read has none |
| colour profile, gamma, XMP, text, thumbnails | ignored: pixel values are taken as sRGB |
| several images (MPO, animated PNG) | the first; the still image of a PNG |
| cut short, wrong checksum, no pixels, over `MAX_PIXELS`, other formats | refused |
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile

from cmmanet.frames.archive import FrameStore

# Crops have some ten thousand pixels; an image that claims far more is not decoded.
MAX_PIXELS = 4096 * 4096

BACKGROUND = (124, 116, 104)
"""RGB behind transparent pixels: ImageNet's mean, which random erasing fills in too."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_EXIF = b"Exif\0\0"
_read_segment = struct.Struct(">HH").unpack_from


class DecodeError(ValueError):
    """Bytes that are not a whole image, or one that no rule converts."""


def decode(data: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Decode and, where the size differs, resize with antialiasing: uint8 [height, width, 3].

    Raises:
        DecodeError: if the bytes are not an image, are cut short, claim an absurd size, or hold
            what no rule of this module converts.
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
    if data.startswith(_JPEG):
        _decode_jpeg(data, picture)
    elif data.startswith(_PNG):
        _decode_png(data, picture)
    else:
        raise DecodeError(f"not a JPEG or PNG image ({len(data):,} bytes)")


def _decode_jpeg(data: bytes, picture: npt.NDArray[np.uint8]) -> None:
    """Decode by simplejpeg.

    It gives the same pixels as Pillow, 1.6 to 3 times as fast (benchmarks/decoders.py), and
    refuses a baseline JPEG that is cut short even where an end marker follows. There Pillow and
    torchvision silently fill the missing part with grey.
    """
    # Imported here: the GPU machines' image lacks it, and need not have it to import this module.
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(height, width)
        exif = _find_exif(data)
        if colours in ("CMYK", "YCCK"):
            # By hand: simplejpeg's own conversion is up to 2 levels off.
            inks = simplejpeg.decode_jpeg(data, "CMYK").astype(np.uint32)
            pixels = ((2 * inks[..., :3] * inks[..., 3:] + 255) // 510).astype(np.uint8)
        elif (height, width) == picture.shape[:2] and not exif:
            simplejpeg.decode_jpeg(data, buffer=picture)
            return
        else:
            pixels = simplejpeg.decode_jpeg(data)
    except KeyError:  # simplejpeg does not know all of libjpeg's
        raise DecodeError("uncommon subsampling") from None
    except (ValueError, struct.error) as error:
        raise DecodeError(str(error)) from None
    _place(pixels, exif, picture)


def _find_exif(data: bytes) -> bytes:
    """Return the EXIF in a JPEG's segments before its first scan, or nothing."""
    at = 2
    marker, length = _read_segment(data, at)
    while 0xFF00 <= marker != 0xFFDA:  # until the start of scan
        if marker == 0xFFE1 and data.startswith(_EXIF, at + 4):
            return data[at + 4 : at + 2 + length]
        at += 1 if marker == 0xFFFF else 2 + length  # any marker may have fill bytes before it
        marker, length = _read_segment(data, at)
    return b""


def _decode_png(data: bytes, picture: npt.NDArray[np.uint8]) -> None:
    image = open_png(data)
    depth, exif = data[24], image.info.get("exif", b"")
    if "transparency" in image.info:
        if depth == 16:
            raise DecodeError("a transparent colour of 16 bits")
        if image.mode == "L":  # Pillow scales the pixels to 8 bits, and not this
            image.info["transparency"] *= {2: 85, 4: 17}.get(depth, 1)
    if image.mode == "I;16":  # Pillow clips to 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer)
    _place(np.asarray(image.convert("RGB")), exif, picture)


def open_png(data: bytes) -> Image.Image:
    """Read a PNG in Pillow's mode for it.

    Raises:
        DecodeError: if the bytes are not a whole PNG, or claim an absurd size.
    """
    try:
        image = PngImageFile(io.BytesIO(_pixel_chunks(data)))
        _check_size(image.height, image.width)
        image.load()
        if image.mode == "P" and np.asarray(image).max() >= len(image.getpalette() or ()) // 3:
            raise DecodeError("a pixel's colour is not in the palette")
    except MemoryError:
        raise
    except Exception as error:  # of damaged bytes Pillow raises SyntaxError, AttributeError, ...
        raise DecodeError(str(error)) from None
    return image


def _pixel_chunks(data: bytes) -> bytes:
    """Leave out of a PNG what its pixels do not depend on: text, profiles, animation.

    Pillow refuses a megabyte of text, shows the first frame of an animation for the still image,
    and does not check the checksums of pixels.
    """
    if data[:8] + data[12:16] != _PNG + b"IHDR":
        raise DecodeError("not a PNG image")
    chunks, at, kind = [_PNG], 8, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        chunk = data[at : at + length + 12]
        whole = len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if not whole or (kind == b"IHDR" and at > 8):
            raise DecodeError("a chunk of the PNG is damaged or truncated")
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):  # upper case: critical
            chunks.append(chunk)
        at += length + 12
    return b"".join(chunks)


def _place(pixels: npt.NDArray[np.uint8], exif: bytes, picture: npt.NDArray[np.uint8]) -> None:
    """Turn pixels upright and resize them into `picture`."""
    orientation = _read_orientation(exif)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    height, width, _ = picture.shape
    if pixels.shape != picture.shape:
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    picture[...] = pixels


def _read_orientation(exif: bytes) -> object:
    if not exif:
        return None
    tags = Image.Exif()
    try:
        tags.load(exif)
        return tags.get(ExifTags.Base.Orientation)
    except Exception:  # of damaged bytes Pillow raises struct.error, SyntaxError, ...
        return None


def _check_size(height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
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
