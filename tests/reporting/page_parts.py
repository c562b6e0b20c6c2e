"""What stands behind a page, made up: pictures, curves, retrievals; and a page read back."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image

from cmmanet.reporting.page.content import DatasetContent

VOID = {"meta", "link", "img", "input", "br", "hr", "line"}


def picture(kind: str, width: int = 12, height: int = 24) -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def make_retrievals(arms: Sequence[str], *, queries: int = 3, name: str = "0001C1T0001F001.jpg"):
    """Query q of an arm is answered rightly from rank q + 1 on."""
    image = f"data:image/jpeg;base64,{base64.b64encode(picture('JPEG')).decode()}"
    rows = list(range(100, 110))
    answers = {
        number: {
            arm: {
                "ap": 0.1 * number + 0.01 * place,
                "first_right_rank": number + 1,
                "rows": rows,
                "distances": [0.1 * rank for rank in range(10)],
                "right": [rank >= number for rank in range(10)],
            }
            for place, arm in enumerate(arms)
        }
        for number in range(queries)
    }
    return {
        "dataset": "synthetic",
        "scoring": "cosine.dense",
        "trial": 0,
        "rule": "All queries.",
        "top": 10,
        "arms": list(arms),
        "queries": [
            {"row": number, "pid": 7, "camera": 2, "frames": 5, "name": name, "answers": found}
            for number, found in answers.items()
        ],
        "tracklets": {
            str(row): {"pid": row % 5, "camera": 1, "frames": 4, "image": image}
            for row in (*range(queries), *rows)
        },
    }  # fmt: skip


def make_shown(dataset: str, arms: Sequence[str], **others: Any) -> DatasetContent:
    """Two trials of four log lines each; `loss_concentration` of the last arm alone."""
    training = [
        {"arm": arm, "trial": trial, "iterations": 15 * step, "epoch": step,
         "loss": 5.0 - step + 0.1 * trial,
         "loss_concentration": 0.5 if arm == arms[-1] else None}
        for arm in arms for trial in range(2) for step in range(1, 5)
    ]  # fmt: skip
    cmc = [
        {"arm": arm, "rank": rank, "cmc": 1 - 0.5 / (rank + place)}
        for place, arm in enumerate(arms)
        for rank in range(1, 21)
    ]
    parts = {
        "pictures": {"cmc.png": picture("PNG", 40, 20)},
        "cmc": cmc,
        "training": training,
        "retrievals": make_retrievals(arms),
    }
    return DatasetContent(dataset, **(parts | others))


class Element:
    def __init__(self, tag: str, attributes: dict[str, str | None], parent: Element | None) -> None:
        self.tag, self.attributes, self.parent, self.text = tag, attributes, parent, ""

    def __getitem__(self, name: str) -> str:
        value = self.attributes[name]
        assert value is not None
        return value


class Page(HTMLParser):
    """Every element of a page in order, each closed where HTML wants it closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        element = Element(tag, dict(attrs), self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), self._open[-1]))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]
