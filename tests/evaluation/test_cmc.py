"""CMC curves against plain counting."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.evaluation.cmc import cmc_over_trials

RANKED = st.lists(
    st.lists(st.integers(1, 12), min_size=1, max_size=8), min_size=1, max_size=3
)  # the first right rank of each query of each trial


@given(RANKED, st.integers(1, 15))
def test_a_curve_is_what_one_counts(trials: list[list[int]], ranks: int) -> None:
    rows = [
        {"trial": trial, "first_right_rank": first}
        for trial, of in enumerate(trials)
        for first in of
    ]
    curve = cmc_over_trials(pd.DataFrame(rows[::-1]), ranks)
    assert len(curve) == ranks
    for rank, value in enumerate(curve, start=1):
        shares = [sum(first <= rank for first in of) / len(of) for of in trials]
        assert value == pytest.approx(sum(shares) / len(shares), abs=1e-12)


def test_no_query_makes_no_curve() -> None:
    with pytest.raises(ValueError, match="no query"):
        cmc_over_trials(pd.DataFrame({"trial": [], "first_right_rank": []}), 5)
