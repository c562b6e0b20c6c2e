"""k-reciprocal re-ranking at MARS's size, and on half of it against the dense version.

The dense version is what public repositories have, numpy with N × N matrices and a loop over
probes, here in float64 and with ties broken as ours are. The two must give the same values.

Labels are those of `ranking.py`; parameters are the paper's. The full size goes first, so that the
peak is its own: imports and embeddings are in it, the dense version is not.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks._memory import peak_mb
from benchmarks._report import Bar, median_seconds, report, side_by_side, times_as_fast
from benchmarks.ranking import Labels, mars_labels
from cmmanet.evaluation.reranking import reranked_distances

K1, K2, WEIGHT = 20, 6, 0.3
SHARE = 2  # the dense version gets every second tracklet


def embeddings(labels: Labels) -> Tensor:
    """Draw features [12180, 2048] with a little of the id in them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(int(labels.ids.max()) + 2, 2048, generator=generator)
    gallery = torch.randn(len(labels.ids), 2048, generator=generator)
    return gallery.add_(centres[labels.ids + 1], alpha=0.25)


def ours(gallery: Tensor, queries: Tensor) -> Tensor:
    """Re-rank the gallery for those of its rows that are queries."""
    return reranked_distances(gallery[queries], gallery, k1=K1, k2=K2, weight=WEIGHT)


def dense(gallery: Tensor, queries: Tensor) -> npt.NDArray[np.float64]:
    """Do the same with N × N matrices, one probe after another."""
    unit = gallery.double().cpu().numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    # Each pair of tracklets once, so that a query and its twin in the gallery tie for every probe.
    rows = np.concatenate([queries.cpu().numpy(), np.arange(len(unit))])
    between = np.maximum(2 - 2 * unit @ unit.T, 0)
    np.fill_diagonal(between, 0)
    original = between[np.ix_(rows, rows)]
    n = len(rows)
    itself_first = original.copy()
    np.fill_diagonal(itself_first, -1)
    order = itself_first.argsort(1, kind="stable")
    original /= original.max(1, keepdims=True)

    def reciprocal(probe: int, k: int) -> npt.NDArray[np.intp]:
        forward = order[probe, : k + 1]
        return forward[(order[forward, : k + 1] == probe).any(1)]

    features = np.zeros((n, n))
    for probe in range(n):
        near = reciprocal(probe, K1)
        expanded = near
        for neighbour in near:
            its = reciprocal(neighbour, round(K1 / 2))
            if len(np.intersect1d(its, near)) > 2 / 3 * len(its):
                expanded = np.append(expanded, its)
        expanded = np.unique(expanded)
        weights = np.exp(-original[probe, expanded])
        features[probe, expanded] = weights / weights.sum()
    features = np.stack([features[order[probe, :K2]].mean(0) for probe in range(n)])
    holders = [np.flatnonzero(features[:, column]) for column in range(n)]
    result = np.empty((len(queries), len(unit)))
    for probe in range(len(queries)):
        shared = np.zeros(n)
        for column in np.flatnonzero(features[probe]):
            who = holders[column]
            shared[who] += np.minimum(features[probe, column], features[who, column])
        jaccard = 1 - shared / (2 - shared)
        result[probe] = ((1 - WEIGHT) * jaccard + WEIGHT * original[probe])[len(queries) :]
    return result


def main() -> None:
    """Time the full size, then check and time the two on a part of it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labels = mars_labels()
    gallery = embeddings(labels).to(device)
    queries = labels.queries.to(device)
    full_s = median_seconds(lambda: ours(gallery, queries), 3, device)
    peak = peak_mb()
    print(f"MARS's size   {full_s:7.2f} s, {peak:,.0f} MB peak")

    part, part_queries = gallery[::SHARE].clone(), queries[queries % SHARE == 0] // SHARE
    np.testing.assert_allclose(
        ours(part, part_queries).cpu(), dense(part, part_queries), rtol=0, atol=1e-9
    )
    print(f"the two give the same {len(part_queries)} × {len(part)} distances")
    seconds = side_by_side(
        {"ours": lambda: ours(part, part_queries), "dense": lambda: dense(part, part_queries)},
        3,
        device,
    )
    for name, values in seconds.items():
        print(f"{name:13s} {np.median(values):7.2f} s on 1/{SHARE} of the tracklets")
    report(
        "reranking",
        device,
        [
            Bar("× faster than dense, half of MARS", 5, times_as_fast(seconds, "ours", "dense")),
            Bar("MARS's size: 15 s / seconds", 1, 15 / full_s),
            Bar("MARS's size: 1,800 MB / peak", 1, 1800 / peak),
        ],
    )


if __name__ == "__main__":
    main()
