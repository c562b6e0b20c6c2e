"""Which metrics a result holds. No torch here: the report needs the names alone."""

METRICS = {
    "rank1": "R1",
    "rank5": "R5",
    "rank10": "R10",
    "rank20": "R20",
    "map": "mAP",
    "map_step": "mAP (step)",
}
"""Each metric of `Ranking.summary` by its name there, and as a table heads it."""
