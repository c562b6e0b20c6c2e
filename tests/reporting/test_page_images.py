"""Pictures within the page: small, and as like the files as they need to be."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from cmmanet.reporting.page.images import figure_image


def chart() -> Image.Image:
    picture = Image.new("RGB", (300, 200), "white")
    draw = ImageDraw.Draw(picture)
    draw.line([(10, 190), (80, 60), (290, 20)], "#0072B2", 2)
    draw.text((120, 100), "queries with a right answer", "black")
    return picture


def photograph() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3))


def within_page(picture: Image.Image) -> tuple[Image.Image, bytes]:
    png = io.BytesIO()
    picture.save(png, "PNG")
    shown = figure_image(png.getvalue())
    assert (shown.width, shown.height) == picture.size
    kind, _, content = shown.source.partition(",")
    assert kind == "data:image/webp;base64"
    webp = base64.b64decode(content)
    assert len(webp) < len(png.getvalue())
    return Image.open(io.BytesIO(webp)).convert("RGB"), webp


def test_a_chart_keeps_every_pixel() -> None:
    shown, _ = within_page(chart())
    assert shown.tobytes() == chart().tobytes()


def test_a_photograph_loses_what_nobody_sees() -> None:
    shown, webp = within_page(photograph())
    whole = io.BytesIO()
    photograph().save(whole, "WEBP", lossless=True)
    assert len(webp) < len(whole.getvalue()) / 2
    off = np.abs(np.asarray(shown, float) - np.asarray(photograph(), float)).mean()
    assert 0 < off == pytest.approx(0, abs=4)
