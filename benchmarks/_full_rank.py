"""Rank float32 embeddings of MARS's size once, in a process of its own; print its peak as JSON."""

import json

import torch

from benchmarks._memory import peak_mb
from cmmanet.evaluation.ranking import rank

QUERIES, GALLERY, DIMENSIONS = 1980, 12180, 2048
DISTRACTORS, JUNK = 3248, 870


def main() -> None:
    """Make the embeddings and rank them: the peak counts those and the imports too."""
    gallery = torch.randn(GALLERY, DIMENSIONS)
    query = gallery[-QUERIES:].clone()
    real = torch.arange(GALLERY - DISTRACTORS - JUNK) % 634 + 1
    distractors = torch.zeros(DISTRACTORS, dtype=torch.int64)
    ids = torch.cat([torch.full((JUNK,), -1), distractors, real])
    cameras = torch.arange(GALLERY) % 5
    inputs_mb = peak_mb()
    rank(
        query,
        gallery,
        query_ids=ids[-QUERIES:],
        gallery_ids=ids,
        query_cameras=cameras[-QUERIES:],
        gallery_cameras=cameras,
    )
    print(json.dumps({"inputs_mb": inputs_mb, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
