import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cmmanet.frames.decode import DecodeError, decode


def encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 3), np.uint8)
    np.testing.assert_array_equal(decode(encoded(pixels, "PNG"), 40, 20), pixels)


def test_grey_and_palette_images_become_rgb() -> None:
    grey = np.arange(200, dtype=np.uint8).reshape(20, 10)
    pixels = decode(encoded(grey, "PNG"), 20, 10)
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, 2))


def test_resizes_to_height_and_width() -> None:
    pixels = np.zeros((64, 32, 3), np.uint8)
    pixels[:32] = 200
    small = decode(encoded(pixels, "PNG"), 16, 8)
    assert small.shape == (16, 8, 3)
    assert (small[:6] > 190).all() and (small[-6:] < 10).all()


@given(st.integers(0, 1200))
@settings(max_examples=60, deadline=None)
def test_truncated_jpeg_never_decodes_in_silence(keep: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 32, 3), np.uint8)
    data = encoded(pixels, "JPEG")
    assert len(data) > 1300
    with pytest.raises(DecodeError):
        decode(data[:keep], 64, 32)


# A progressive JPEG that ends between two scans is a whole one of a lower quality.
@pytest.mark.parametrize(
    ("how", "ending"),
    [({}, b""), ({"quality": 95}, b""), ({"progressive": True}, b""), ({}, b"\xff\xd9")],
)
def test_every_cut_jpeg_is_refused(how: dict[str, int], ending: bytes) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 16, 3), np.uint8)
    data = encoded(pixels, "JPEG", **how)
    decode(data, 32, 16)
    for keep in range(len(data) - len(ending)):
        with pytest.raises(DecodeError):
            decode(data[:keep] + ending, 32, 16)


def test_every_png_cut_before_its_last_pixel_is_refused() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 8, 3), np.uint8)
    data = encoded(pixels, "PNG")
    for keep in range(len(data)):
        try:
            np.testing.assert_array_equal(decode(data[:keep], 16, 8), pixels)
        except DecodeError:
            continue
        # What may lack are checksums and the empty last chunk, no pixel.
        assert keep >= len(data) - 20


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(64, 32), (24, 20)])
def test_jpegs_decode_as_pillow_decodes_them(mode: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (64, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=80)
    expected = Image.open(buffer).convert("RGB")
    if size != (64, 32):
        expected = expected.resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(buffer.getvalue(), *size), np.asarray(expected))


def test_real_crops_decode_as_pillow_decodes_them(shared: Path) -> None:
    with zipfile.ZipFile(shared / "real_sample/mars/bbox_test.zip") as archive:
        for name in [name for name in archive.namelist() if name.endswith(".jpg")][:100]:
            data = archive.read(name)
            expected = Image.open(io.BytesIO(data)).convert("RGB")
            decoded = decode(data, expected.height, expected.width)
            np.testing.assert_array_equal(decoded, np.asarray(expected))


def test_jpeg_bomb_is_refused_before_it_is_decoded() -> None:
    data = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "JPEG"))
    header = data.index(b"\xff\xc0")
    data[header + 5 : header + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(DecodeError, match="claims 65500 x 65500 pixels"):
        decode(bytes(data), 256, 128)


def test_other_formats_are_refused() -> None:
    data = encoded(np.zeros((8, 8, 3), np.uint8), "GIF")
    with pytest.raises(DecodeError, match="not a JPEG or PNG"):
        decode(data, 8, 8)


def test_image_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    with pytest.raises(DecodeError):
        decode(bomb.getvalue(), 256, 128)
