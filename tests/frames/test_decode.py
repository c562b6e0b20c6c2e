import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cmmanet.clips.dataset import ERASED
from cmmanet.frames.archive import FrameColumns, FrameStore
from cmmanet.frames.decode import BACKGROUND, DecodeError, decode, read_frames
from cmmanet.frames.folder import list_folder


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def raw_png(width: int, depth: int, kind: int, row: bytes, *chunks: bytes) -> bytes:
    """A PNG of one row, by the letter of its specification."""
    header = struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0)
    image = chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + b"".join(image) + chunk(b"IEND", b"")


def orientation(value: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = value
    return tags


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


def test_every_cut_or_damaged_png_is_refused() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 8, 3), np.uint8)
    data = encoded(pixels, "PNG")
    for place in range(len(data)):
        for damaged in (
            data[:place],
            data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :],
        ):
            with pytest.raises(DecodeError):
                decode(damaged, 16, 8)


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


# Where EXIF 2.3 says that the stored row 0 and column 0 are on the upright picture, undone.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
    0: lambda upright: upright,
    9: lambda upright: upright,
}


@pytest.mark.parametrize("value", STORED)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True})],
)
def test_exif_orientation_is_applied(value: int, kind: str, options: dict[str, Any]) -> None:
    upright = np.zeros((64, 32, 3), np.uint8)
    upright[:32], upright[32:], upright[:, :8] = (200, 30, 30), (30, 30, 200), (20, 200, 20)
    stored = np.ascontiguousarray(STORED[value](upright))
    data = encoded(stored, kind, exif=orientation(value), **options)
    assert np.abs(decode(data, 64, 32).astype(int) - upright).mean() < 4
    small = Image.fromarray(upright).resize((16, 32), Image.Resampling.BILINEAR)
    assert np.abs(decode(data, 32, 16).astype(int) - np.asarray(small)).mean() < 4


def test_exif_is_read_where_segments_say() -> None:
    upright = np.zeros((64, 32, 3), np.uint8)
    upright[:32] = 200
    stored = np.ascontiguousarray(np.rot90(upright))
    tags = b"Exif\0\0" + orientation(6).tobytes().removeprefix(b"Exif\0\0")
    segment = b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags

    def decoded(first: bytes, later: bytes, size: tuple[int, int]) -> np.ndarray:
        plain = encoded(stored, "JPEG", quality=95)
        tables = plain.index(b"\xff\xc0")
        return decode(plain[:2] + first + plain[2:tables] + later + plain[tables:], *size)

    other = b"\xff\xe1\0\x06http" + b"\xff\xff"  # another segment, then fill bytes
    for first, later in ((segment, b""), (b"", segment), (other + segment, b"")):
        assert np.abs(decoded(first, later, (64, 32)).astype(int) - upright).mean() < 4
    # The same bytes inside a comment are nobody's orientation; nor is EXIF that is damaged.
    comment = b"\xff\xfe" + struct.pack(">H", len(segment) + 2) + segment
    for other in (comment, segment.replace(b"MM", b"??").replace(b"II", b"??")):
        assert np.abs(decoded(other, b"", (32, 64)).astype(int) - stored).mean() < 4


def test_png_orientation_may_follow_the_pixels() -> None:
    data = raw_png(2, 8, GREY, bytes([10, 20]))
    tags = chunk(b"eXIf", orientation(3).tobytes().removeprefix(b"Exif\0\0"))
    end = len(data) - 12
    assert decode(data[:end] + tags + data[end:], 1, 2)[0, :, 0].tolist() == [20, 10]


@pytest.mark.parametrize(
    ("depth", "kind", "row", "expected"),
    [
        (1, GREY, b"\x40", [(0,) * 3, (255,) * 3]),
        (2, GREY, b"\x60", [(85,) * 3, (170,) * 3]),
        (4, GREY, b"\x5f", [(85,) * 3, (255,) * 3]),
        (8, GREY, b"\x05\xff", [(5,) * 3, (255,) * 3]),
        # Not clipped: 0x0234 is dark.
        (16, GREY, b"\x02\x34\xff\xff", [(2,) * 3, (255,) * 3]),
        (16, RGB, b"\x01\xff\x02\x00\x03\x80" + b"\xff" * 6, [(1, 2, 3), (255,) * 3]),
        (8, GREY_ALPHA, b"\x05\xff\x06\x00", [(5,) * 3, BACKGROUND]),
        (16, GREY_ALPHA, b"\x05\xff\xff\xff\x06\x00\x00\x00", [(5,) * 3, BACKGROUND]),
        (8, RGBA, b"\x01\x02\x03\xff\x01\x02\x03\x00", [(1, 2, 3), BACKGROUND]),
        (16, RGBA, b"\x01\x02" * 3 + b"\xff\xff" + b"\0" * 8, [(1, 1, 1), BACKGROUND]),
    ],
)
def test_each_depth_and_kind_of_png(
    depth: int, kind: int, row: bytes, expected: list[tuple[int, ...]]
) -> None:
    pixels = decode(raw_png(2, depth, kind, row), 1, 2)
    assert [tuple(pixel) for pixel in pixels[0].tolist()] == expected


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette(depth: int) -> None:
    row = {1: b"\x40", 2: b"\x10", 4: b"\x01", 8: b"\0\1"}[depth]
    colours = chunk(b"PLTE", bytes([9, 8, 7, 60, 50, 40]))
    plain = decode(raw_png(2, depth, PALETTE, row, colours), 1, 2)
    assert plain[0].tolist() == [[9, 8, 7], [60, 50, 40]]
    # One alpha for each colour, and one for the first alone.
    hidden = decode(raw_png(2, depth, PALETTE, row, colours, chunk(b"tRNS", b"\xff\0")), 1, 2)
    assert hidden[0].tolist() == [[9, 8, 7], [*BACKGROUND]]
    half = decode(raw_png(2, depth, PALETTE, row, colours, chunk(b"tRNS", b"\x80")), 1, 2)
    mixed = (128 * np.array([9, 8, 7]) + 127 * np.array(BACKGROUND)) / 255
    assert np.abs(half[0, 0] - mixed).max() <= 1
    assert half[0, 1].tolist() == [60, 50, 40]


@pytest.mark.parametrize(
    ("depth", "kind", "row", "key", "expected"),
    [
        (1, GREY, b"\x40", (1,), [(0,) * 3, BACKGROUND]),
        (2, GREY, b"\x60", (1,), [BACKGROUND, (170,) * 3]),
        (4, GREY, b"\x5f", (5,), [BACKGROUND, (255,) * 3]),
        (8, GREY, b"\x05\xff", (5,), [BACKGROUND, (255,) * 3]),
        (8, RGB, b"\x01\x02\x03\x01\x02\x04", (1, 2, 3), [BACKGROUND, (1, 2, 4)]),
    ],
)
def test_transparent_colour(
    depth: int, kind: int, row: bytes, key: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    alpha = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    pixels = decode(raw_png(2, depth, kind, row, alpha), 1, 2)
    assert [tuple(pixel) for pixel in pixels[0].tolist()] == expected


def test_alpha_is_laid_over_the_colour_that_erasing_uses() -> None:
    assert tuple(ERASED) == BACKGROUND
    picture = np.random.default_rng(0).integers(0, 256, (32, 16, 4), np.uint8)
    colour, alpha = picture[..., :3].astype(float), picture[..., 3:] / 255
    expected = alpha * colour + (1 - alpha) * np.array(BACKGROUND)
    assert np.abs(decode(encoded(picture, "PNG"), 32, 16) - expected).max() <= 1
    # Laid over the background before it is resized: no hidden colour bleeds into its neighbours.
    picture[:, :8], picture[:, 8:] = (*BACKGROUND, 255), (0, 255, 0, 0)
    assert (decode(encoded(picture, "PNG"), 8, 5) == BACKGROUND).all()


@pytest.mark.parametrize(
    "data",
    [
        raw_png(2, 8, PALETTE, b"\0\1"),  # without palette
        raw_png(2, 8, PALETTE, b"\0\2", chunk(b"PLTE", bytes(6))),
        raw_png(2, 8, PALETTE, b"\0\2", chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\1\2\3")),
        raw_png(2, 16, GREY, bytes(4), chunk(b"tRNS", bytes(2))),
        raw_png(2, 16, RGB, bytes(12), chunk(b"tRNS", bytes(6))),
        raw_png(2, 8, GREY, bytes(2), chunk(b"tRNS", b"")),
        raw_png(2, 3, GREY, bytes(2)),
        raw_png(0, 8, GREY, b""),
        raw_png(0xFFFFFFFF, 8, GREY, b""),
        raw_png(2, 0, GREY, bytes(2), raw_png(2, 8, GREY, b"")[8:33], chunk(b"tRNS", bytes(2))),
        raw_png(2, 8, GREY, b"\0"),  # one pixel too few
        raw_png(2, 8, GREY, bytes(2)).replace(
            b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4))
        ),
    ],
)
def test_what_no_rule_converts_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, 1, 2)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (4, b"\x0c"),  # 12 bits
        (9, b"\x02"),  # two layers
        (5, b"\0\0"),  # no height
        (11, b"\x31"),  # sampled 3 to 1
        (11, b"\x14"),  # sampled 1 to 4, which simplejpeg raises KeyError for
    ],
)
def test_jpegs_of_other_kinds_are_refused(place: int, change: bytes) -> None:
    data = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "JPEG", subsampling=0))
    place += data.index(b"\xff\xc0")
    data[place : place + len(change)] = change
    with pytest.raises(DecodeError):
        decode(bytes(data), 8, 8)


def test_inks_are_adobes() -> None:
    # Pillow writes CMYK inverted, as Adobe does: 255 is no ink.
    inks = np.full((16, 16, 4), (0, 120, 240, 60), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(buffer, "JPEG", quality=100)
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    assert np.abs(decode(buffer.getvalue(), 16, 16) - expected).max() <= 2
    # Cut short with its end marker put back, as Pillow reads without a word.
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise, "CMYK").save(buffer, "JPEG")
    with pytest.raises(DecodeError):
        decode(buffer.getvalue()[:-1000] + b"\xff\xd9", 32, 32)


def test_first_of_several_images_counts() -> None:
    images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    animated, mpo = io.BytesIO(), io.BytesIO()
    images[0].save(animated, "PNG", save_all=True, append_images=images[1:], default_image=True)
    assert (decode(animated.getvalue(), 8, 8) == (255, 0, 0)).all()
    images[0].save(mpo, "MPO", save_all=True, append_images=images[1:])
    assert np.abs(decode(mpo.getvalue(), 8, 8).astype(int) - (255, 0, 0)).max() < 3


@pytest.mark.parametrize("profile", [b"", bytes(2 << 20)])
@pytest.mark.parametrize("text", [b"tEXt", b"zTXt", b"iTXt"])
def test_metadata_changes_nothing(tmp_path: Path, text: bytes, profile: bytes) -> None:
    information, long = PngImagePlugin.PngInfo(), "x" * (2 << 20)
    if text == b"iTXt":
        information.add_itxt("XML:com.adobe.xmp", long, zip=True)
    else:
        information.add_text("Raw profile type exif", long, zip=text == b"zTXt")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(
        encoded(pixels, "PNG", pnginfo=information, icc_profile=profile)
    )
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    members = list_folder(tmp_path, (".png",)).members
    store = FrameStore([tmp_path], FrameColumns.from_members([members]))
    np.testing.assert_array_equal(read_frames(store, [0], 8, 4)[0], pixels)
    with pytest.raises(DecodeError, match=r"b\.png in .*: does not decode"):
        read_frames(store, [1], 8, 4)


def checked_again(png: bytes) -> bytes:
    """The PNG with each chunk's checksum made right, as far as its chunks can be followed."""
    done, at = png[:8], 8
    while at + 8 <= len(png):
        length = int.from_bytes(png[at : at + 4])
        done += chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length])
        at += length + 12
    return done


def samples() -> list[bytes]:
    """A small image of every kind that the rules name."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    images = [Image.fromarray(pixels).convert(mode) for mode in ("1", "L", "LA", "P", "RGB")]
    found = []
    for image in (*images, Image.fromarray(pixels)):
        for options in ({}, {"exif": orientation(6)}, {"transparency": 3}):
            if "transparency" not in options or image.mode in ("L", "P"):
                buffer = io.BytesIO()
                image.save(buffer, "PNG", **options)
                found.append(buffer.getvalue())
    for mode in ("L", "RGB", "YCbCr", "CMYK"):
        for options in ({}, {"exif": orientation(6)}, {"progressive": True}):
            buffer = io.BytesIO()
            Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
            found.append(buffer.getvalue())
    return found


SAMPLES = samples()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_images_of_every_kind_raise_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for hostile in (bytes(damaged), cut, checked_again(bytes(damaged))):
        try:
            assert decode(hostile, 8, 8).shape == (8, 8, 3)
        except DecodeError:
            continue
