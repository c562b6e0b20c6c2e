import numpy as np
import torch

from cmmanet.reporting.pictures import contact_sheet


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
