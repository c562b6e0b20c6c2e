import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cmmanet.frames.decode import DecodeError, decode


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
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


def test_other_formats_are_refused() -> None:
    data = encoded(np.zeros((8, 8, 3), np.uint8), "GIF")
    with pytest.raises(DecodeError, match="no JPEG or PNG"):
        decode(data, 8, 8)


def test_image_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    with pytest.raises(DecodeError):
        decode(bomb.getvalue(), 256, 128)
