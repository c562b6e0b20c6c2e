"""The tracklet table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.datasets.tracklets import Tracklets


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_frames_of_tracklets_one_by_one(lengths: list[int], data: st.DataObject) -> None:
    length = np.array(lengths)
    count = np.arange(len(lengths))
    table = Tracklets(count, count, count, np.cumsum(length) - length, length, count.astype(str))
    rows = data.draw(st.permutations(range(len(lengths)))).copy()
    del rows[data.draw(st.integers(1, len(rows))) :]
    frames, owner = table.frames_of(rows)
    expected = [
        (int(table.first[row]) + frame, place)
        for place, row in enumerate(rows)
        for frame in range(lengths[row])
    ]
    assert list(zip(frames.tolist(), owner.tolist(), strict=True)) == expected
