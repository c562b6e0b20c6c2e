"""The columns of attention/<dataset>/<arm>.parquet, for those who read it without torch."""

MEASURES = (
    "entropy",
    "field",
    "overlap",
    "own_stripe",
    "purity",
    "coverage",
    "background",
    "astray",
    "occluder",
    "weight_change",
)
"""What `cmmanet.evaluation.attention.measures.measure_tracklets` measures of a tracklet."""

OF_PARTS = frozenset(MEASURES[4:])
"""Those that need label maps."""

UNIFORM = "uniform_"
"""Begins the columns that say the same of uniform attention in the same frames."""

FIXED = "fixed_"
"""Begins those of attention that is the same in every frame: the trial's mean map."""

KEYS = ("trial", "stage", "cells", "query", "pid")
"""Begin each row; `cells` is h·w of the maps behind that stage."""

BOUND = "purity_bound"
"""The column of the largest purity that there is in the same frames on maps of that size."""

COLUMNS = (
    *MEASURES,
    *(f"{UNIFORM}{name}" for name in MEASURES),
    *(f"{FIXED}{name}" for name in MEASURES),
    BOUND,
)
