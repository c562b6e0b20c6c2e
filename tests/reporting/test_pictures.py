import numpy as np
import torch

from cmmanet.reporting.colours import RIGHT, WRONG
from cmmanet.reporting.pictures import (
    FIRST_GAP,
    GAP,
    LINE,
    ROW_GAP,
    Labelled,
    contact_sheet,
    retrieval_strip,
)


def test_every_frame_of_every_clip_is_in_its_place() -> None:
    clips = torch.randint(0, 256, (5, 2, 3, 6, 4), dtype=torch.uint8)
    sheet = np.asarray(contact_sheet(clips, columns=3))
    assert sheet.shape == (2 * (6 + 4) - 4, 3 * (2 * 4 + 4) - 4, 3)
    for clip in range(5):
        for frame in range(2):
            top, left = 10 * (clip // 3), 12 * (clip % 3) + 4 * frame
            shown = sheet[top : top + 6, left : left + 4]
            np.testing.assert_array_equal(shown, clips[clip, frame].permute(1, 2, 0).numpy())
    assert (sheet[10:, 24:] == 255).all(), "the sixth place is empty"


def test_a_strip_shows_each_query_and_its_answers_in_order() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 40, 60, 3)).astype(np.uint8)
    name = "folder/a very long name of a file.jpg"
    shown = [Labelled(frame, str(number), name) for number, frame in enumerate(frames)]
    strip = np.asarray(retrieval_strip([(shown[0], shown[1:4]), (shown[4], shown[5:])]))
    row = 40 + 2 * LINE + ROW_GAP
    assert strip.shape == (2 * row, GAP + 60 + FIRST_GAP + 3 * (60 + GAP), 3)
    # What is left white: a place per frame, by its row and column.
    for number, (down, along) in enumerate([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]):
        top = down * row + ROW_GAP // 2 + LINE
        left = GAP + (60 + FIRST_GAP + (along - 1) * (60 + GAP) if along else 0)
        np.testing.assert_array_equal(strip[top : top + 40, left : left + 60], frames[number])
        for text in (slice(top - LINE, top), slice(top + 40, top + 40 + LINE)):
            assert (strip[text, left : left + 60] < 100).any(), "a line of text"
            assert (strip[text, left + 60 : left + 60 + GAP] == 255).all(), "within its frame"
    assert (strip[row:, GAP + 60 + FIRST_GAP + 60 :] == 255).all(), "only one answer"


def test_a_strip_may_hold_no_answer() -> None:
    frame = Labelled(np.zeros((40, 60, 3), np.uint8), "", "")
    assert retrieval_strip([(frame, [])]).height == 40 + 2 * LINE + ROW_GAP


def test_right_and_wrong_answers_are_told_apart_by_colour_dash_and_mark() -> None:
    frame = np.full((40, 60, 3), 90, np.uint8)
    known = [Labelled(frame, "1", "a", True), Labelled(frame, "2", "b", False)]
    strip = retrieval_strip([(Labelled(frame, "", "q"), known)], scale=2)
    pixels = np.asarray(strip)
    line, gap = 2 * LINE, 2 * GAP
    top = ROW_GAP + line
    assert strip.height == 40 + 2 * line + 2 * ROW_GAP
    for column, colour in enumerate((RIGHT, WRONG)):
        left = gap + 60 + 2 * FIRST_GAP + column * (60 + gap)
        own = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        np.testing.assert_array_equal(pixels[top : top + 40, left : left + 60], frame)
        for edge in (
            pixels[top - 1, left : left + 60],
            pixels[top + 40, left : left + 60],
            pixels[top : top + 40, left - 1],
            pixels[top : top + 40, left + 60],
        ):
            drawn = (edge == own).all(1)
            assert drawn.all() if colour == RIGHT else 0.3 < drawn.mean() < 0.9, "dashes"
        mark = pixels[top - line : top - gap // 2, left + 60 - line : left + 60]
        assert (mark == own).all(2).any()
    # Of whom nothing is known, nothing is framed.
    beside = pixels[top : top + 40, gap + 60 : gap + 60 + 5]
    assert (beside == 255).all()
