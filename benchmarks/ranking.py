"""Ranking metrics at MARS's size (1,980 queries × 12,180 tracklets, 2048-d) against two references.

The references start from the same distances and must give the same values:

- full sort: argsort the whole gallery for every query, in torch, then cumulative sums;
- Python loop: the same for one query at a time in numpy, as public repositories do it.

`rank`, from float32 embeddings to the metrics, is also held against a time and, on the CPU in a
process of its own with its imports and its input, against a peak of memory.

Labels are MARS's own where its info files lie at ../shared/mars_info, else drawn with its counts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.io import loadmat
from torch import Tensor

from benchmarks._report import Bar, measured, median_seconds, report
from cmmanet.evaluation.ranking import Ranking, rank, rank_distances

INFO = Path(__file__).resolve().parents[2] / "shared" / "mars_info"
LOOP_QUERIES = 198  # a tenth of them: a query takes the loop the same time whichever it is


class Labels(NamedTuple):
    """Ids and cameras [12180] of MARS's test tracklets, and which of them are queries [1980]."""

    ids: Tensor
    cameras: Tensor
    queries: Tensor

    def part(self, identities: int) -> Labels:
        """Keep the rows of some identities, and every twentieth of junk and distractors."""
        last = self.ids[self.ids > 0].unique()[:identities].max()
        every = torch.arange(len(self.ids)) % 20 == 0
        rows = torch.where(self.ids > 0, self.ids <= last, every).nonzero()[:, 0]
        queries = torch.isin(rows, self.queries).nonzero()[:, 0]
        return Labels(self.ids[rows], self.cameras[rows], queries)

    def arguments(self) -> dict[str, Any]:
        """Give the labels as `rank` takes them."""
        return {
            "query_ids": self.ids[self.queries],
            "gallery_ids": self.ids,
            "query_cameras": self.cameras[self.queries],
            "gallery_cameras": self.cameras,
        }


def mars_labels() -> Labels:
    """Read MARS's labels, or draw some with its counts."""
    if INFO.is_dir():
        table = loadmat(INFO / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
        queries = loadmat(INFO / "query_IDX.mat")["query_IDX"].astype(np.int64).ravel() - 1
        return Labels(*(torch.from_numpy(a.copy()) for a in (table[:, 2], table[:, 3], queries)))
    generator = torch.Generator().manual_seed(0)
    real = torch.randint(1, 635, (8062,), generator=generator)
    ids = torch.cat([torch.full((870,), -1), torch.zeros(3248, dtype=torch.int64), real])
    cameras = torch.randint(1, 7, (12180,), generator=generator)
    return Labels(ids, cameras, 4118 + torch.randperm(8062, generator=generator)[:1980])


def label_source() -> str:
    """Say where `mars_labels` has its labels from."""
    return "MARS's own" if INFO.is_dir() else "drawn with MARS's counts"


def full_sort(distances: Tensor, labels: Labels) -> Tensor:
    """Give first right rank, trapezoid AP and step AP [Q, 3] by sorting the whole gallery."""
    # In blocks as large as those of `rank_distances`, so that it too works within the caches.
    blocks = [slice(start, start + 128) for start in range(0, len(distances), 128)]
    return torch.cat([_sort_block(distances[b], labels, labels.queries[b]) for b in blocks]).cpu()


def _sort_block(distances: Tensor, labels: Labels, queries: Tensor) -> Tensor:
    ids, cameras, _ = labels
    order = distances.argsort(1)
    sorted_ids = ids[order]
    same_id = sorted_ids == ids[queries][:, None]
    same_camera = cameras[order] == cameras[queries][:, None]
    right = same_id & ~same_camera
    ranks = ((sorted_ids != -1) & ~(same_id & same_camera)).cumsum(1)
    place = right.cumsum(1)
    rights = right.sum(1)
    precision = place / ranks.clamp(min=1).double()
    before = torch.where(ranks == 1, 1.0, (place - 1) / (ranks - 1).clamp(min=1).double())
    first = torch.where(right, ranks, ids.numel() + 1).amin(1)
    trapezoid = torch.where(right, (before + precision) / 2, 0.0).sum(1) / rights
    step = (precision * right).sum(1) / rights
    return torch.stack([torch.where(rights > 0, first, 0).double(), trapezoid, step], dim=1)


def python_loop(
    distances: npt.NDArray[np.float64], labels: Labels, queries: int
) -> npt.NDArray[np.float64]:
    """Give first right rank, trapezoid AP and step AP [queries, 3], one query after another."""
    gallery_ids, gallery_cameras = labels.ids.numpy(), labels.cameras.numpy()
    results: list[tuple[float, float, float]] = []
    for query in range(queries):
        row = labels.queries[query]
        order = np.argsort(distances[query])
        same_id = gallery_ids[order] == gallery_ids[row]
        same_camera = gallery_cameras[order] == gallery_cameras[row]
        keep = (gallery_ids[order] != -1) & ~(same_id & same_camera)
        hits = same_id[keep].astype(np.int32)
        if not hits.any():
            results.append((0, np.nan, np.nan))
            continue
        found = hits.cumsum()
        precisions = [x / (i + 1.0) for i, x in enumerate(found)]
        step = (np.asarray(precisions) * hits).sum() / hits.sum()
        trapezoid = 0.0
        for i in np.flatnonzero(hits):
            trapezoid += ((precisions[i - 1] if i else 1.0) + precisions[i]) / 2
        results.append((int(np.argmax(hits)) + 1, trapezoid / hits.sum(), step))
    return np.array(results)


def stacked(ranking: Ranking) -> Tensor:
    """Give first right rank, trapezoid AP and step AP [Q, 3]."""
    return torch.stack(
        [ranking.first_right_rank.double(), ranking.ap_trapezoid, ranking.ap_step], dim=1
    )


def main() -> None:
    """Check the three against each other and time them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labels = mars_labels()
    # Features with a little of the id in them, so that right answers lie all over the ranks.
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(int(labels.ids.max()) + 2, 2048, generator=generator)
    gallery = 0.25 * centres[labels.ids + 1] + torch.randn(12180, 2048, generator=generator)
    gallery = gallery.to(device)
    query = gallery[labels.queries.to(device)]
    unit = torch.nn.functional.normalize(gallery.double())
    distances = 1 - unit[labels.queries.to(device)] @ unit.T

    on_device = Labels(*(column.to(device) for column in labels))
    host_distances = distances.cpu().numpy()
    arguments = on_device.arguments()

    ours = stacked(rank_distances(distances, **arguments))
    whole = stacked(rank(query, gallery, **arguments))
    sort = full_sort(distances, on_device)
    loop = torch.from_numpy(python_loop(host_distances, labels, LOOP_QUERIES))
    check: Callable[..., Any] = torch.testing.assert_close
    for others, of_ours in ((whole, ours), (sort, ours), (loop, ours[:LOOP_QUERIES])):
        check(others, of_ours, rtol=0, atol=1e-12, equal_nan=True)
    print("the four give the same first right rank, trapezoid AP and step AP for every query")

    ours_s = median_seconds(lambda: rank_distances(distances, **arguments), 7, device)
    sort_s = median_seconds(lambda: full_sort(distances, on_device), 3, device)
    share = len(labels.queries) / LOOP_QUERIES
    loop_s = share * median_seconds(
        lambda: python_loop(host_distances, labels, LOOP_QUERIES), 3, device, warm_up=0
    )
    whole_s = median_seconds(lambda: rank(query, gallery, **arguments), 7, device)
    memory = measured("_full_rank")
    print(f"rank_distances  {ours_s:8.3f} s")
    print(f"full sort       {sort_s:8.3f} s")
    print(f"Python loop     {loop_s:8.3f} s, from {LOOP_QUERIES} queries")
    print(f"rank            {whole_s:8.3f} s, float64 distances of 2048-d embeddings included")
    print(f"                {memory['peak_mb']:8.0f} MB peak, {memory['inputs_mb']:.0f} MB before")
    report(
        "ranking",
        device,
        [
            Bar("× faster than full sort", 3, sort_s / ours_s),
            Bar("× faster than Python loop", 20, loop_s / ours_s),
            Bar("matmul and metrics: 1.5 s / seconds", 1, 1.5 / whole_s),
            Bar("matmul and metrics: 1,000 MB / peak", 1, 1000 / memory["peak_mb"]),
        ],
    )


if __name__ == "__main__":
    main()
