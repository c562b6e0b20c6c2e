import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.ranking import Ranking, rank, rank_distances

SHARED = Path(__file__).resolve().parents[3] / "shared"


def ranked(query, gallery, query_labels, gallery_labels, **options):
    """`rank` with labels as rows of (id, camera)."""
    query_labels, gallery_labels = torch.as_tensor(query_labels), torch.as_tensor(gallery_labels)
    return rank(
        torch.as_tensor(query),
        torch.as_tensor(gallery),
        query_ids=query_labels[:, 0],
        gallery_ids=gallery_labels[:, 0],
        query_cameras=query_labels[:, 1],
        gallery_cameras=gallery_labels[:, 1],
        **options,
    )


def assert_same(a: Ranking, b: Ranking):
    for field in ("cmc", "ap_trapezoid", "ap_step", "valid", "first_right_rank"):
        torch.testing.assert_close(
            getattr(a, field), getattr(b, field), rtol=0, atol=1e-12, equal_nan=True
        )


def naive(distances, query_labels, gallery_labels, max_rank):
    """The protocol, word for word: sort each query's gallery, wrong answers first among equals."""
    cmc, first, trapezoid, step = [], [], [], []
    for row, (pid, camera) in zip(distances, query_labels, strict=True):
        answers = []
        for distance, (other_pid, other_camera) in zip(row, gallery_labels, strict=True):
            if other_pid == -1 or (other_pid == pid and other_camera == camera):
                continue
            # 1e-9 apart is a tie, as the test data's distances differ by much more or not at all.
            answers.append((round(distance, 9), other_pid == pid))
        answers.sort()
        ranks = [r for r, (_, right) in enumerate(answers, start=1) if right]
        if not ranks:
            first.append(0)
            trapezoid.append(math.nan)
            step.append(math.nan)
            continue
        cmc.append([float(ranks[0] <= k) for k in range(1, max_rank + 1)])
        first.append(ranks[0])
        step.append(sum(i / r for i, r in enumerate(ranks, start=1)) / len(ranks))
        total = 0.0
        for i, r in enumerate(ranks, start=1):
            before = 1.0 if r == 1 else (i - 1) / (r - 1)
            total += (before + i / r) / 2
        trapezoid.append(total / len(ranks))
    mean_cmc = np.mean(cmc, axis=0) if cmc else np.full(max_rank, np.nan)
    return Ranking(
        cmc=torch.tensor(mean_cmc),
        ap_trapezoid=torch.tensor(trapezoid, dtype=torch.float64),
        ap_step=torch.tensor(step, dtype=torch.float64),
        valid=torch.tensor(first) > 0,
        first_right_rank=torch.tensor(first),
    )


@st.composite
def problems(draw):
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(1, 25))
    ids, cameras = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def labels(rows, lowest):
        return np.stack(
            [rng.integers(lowest, ids + 1, rows), rng.integers(1, cameras + 1, rows)], axis=1
        )

    def features(rows):
        if ties:
            return rng.integers(1, 3, (rows, 2)).astype(np.float64)
        return rng.normal(size=(rows, 3))

    ties = draw(st.booleans())
    return features(queries), features(gallery), labels(queries, 1), labels(gallery, -1)


@settings(deadline=None, max_examples=150)
@given(problems(), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 30), st.integers(1, 8))
def test_agrees_with_a_naive_loop(problem, distance, max_rank, chunk):
    query, gallery, query_labels, gallery_labels = problem
    if distance == "euclidean":
        distances = ((query[:, None] - gallery) ** 2).sum(2)
    else:
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(gallery, axis=1)
        distances = 1 - query @ gallery.T / norms
    expected = naive(distances, query_labels, gallery_labels, max_rank)
    options = {"distance": distance, "max_rank": max_rank, "chunk": chunk}
    assert_same(ranked(*problem, **options), expected)


@settings(deadline=None, max_examples=50)
@given(problems(), st.randoms(use_true_random=False))
def test_gallery_order_chunk_and_scale_do_not_matter(problem, random):
    query, gallery, query_labels, gallery_labels = problem
    expected = ranked(*problem)
    order = list(range(len(gallery)))
    random.shuffle(order)
    shuffled = ranked(query, gallery[order], query_labels, gallery_labels[order], chunk=1)
    assert_same(shuffled, expected)
    scales = np.array([random.uniform(0.1, 10) for _ in order])[:, None]
    assert_same(ranked(3 * query, scales * gallery, query_labels, gallery_labels), expected)


@pytest.mark.parametrize("r", [1, 2, 5])
def test_one_right_answer_at_rank_r(r):
    gallery = torch.arange(1.0, 7.0)[:, None]
    labels = [[2, 2]] * 6
    labels[r - 1] = [1, 2]
    ranking = ranked([[0.0]], gallery, [[1, 1]], labels, distance="euclidean")
    assert ranking.first_right_rank.tolist() == [r]
    assert ranking.ap_step.tolist() == pytest.approx([1 / r])
    assert ranking.ap_trapezoid.tolist() == pytest.approx([1 if r == 1 else 1 / (2 * r)])
    assert ranking.cmc.tolist() == [float(k >= r) for k in range(1, 51)]


def test_junk_own_camera_and_distractors():
    # In order of distance: junk, the query's own camera, a distractor, a right answer.
    labels = [[-1, 2], [1, 1], [0, 2], [1, 2]]
    gallery = torch.arange(1.0, 5.0)[:, None]
    ranking = ranked([[0.0]], gallery, [[1, 1]], labels, distance="euclidean")
    assert ranking.first_right_rank.tolist() == [2]


def test_two_camera_protocol():
    # Camera 1 asks, camera 2 answers; person 3 looks like person 2 and the other way round.
    query = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    gallery = query[[0, 2, 1]] + 0.1
    ranking = ranked(query, gallery, [[1, 1], [2, 1], [3, 1]], [[1, 2], [2, 2], [3, 2]], max_rank=3)
    assert ranking.first_right_rank.tolist() == [1, 3, 3]  # person 1 ties with the right answer
    torch.testing.assert_close(ranking.cmc, torch.tensor([1, 1, 3]).double() / 3)
    assert ranking.summary()["map_step"] == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("dimensions", [1, 7, 512])
@pytest.mark.parametrize("rows", [9, 301])
def test_a_collapsed_network_gets_the_worst_order(distance, dimensions, rows):
    feature = torch.rand(dimensions, generator=torch.Generator().manual_seed(rows)) + 0.1
    labels = torch.stack([torch.arange(rows) % 4 + 1, torch.arange(rows) % 3], dim=1)
    gallery = feature.repeat(rows, 1)
    ranking = ranked(gallery[:7], gallery, labels[:7], labels, distance=distance)
    wrong = (labels[:, 0] != labels[:7, None, 0]).sum(1)
    assert ranking.first_right_rank.tolist() == (wrong + 1).tolist()


def levels(distances):
    """Number each row's distances from the least; 1e-12 apart in relation to the row is a tie."""
    in_order = np.sort(distances, axis=1)
    new = np.diff(in_order, axis=1, prepend=-1) > 1e-12 * in_order[:, -1:]
    return np.stack(
        [
            n.cumsum()[np.searchsorted(row, given)]
            for n, row, given in zip(new, in_order, distances, strict=True)
        ]
    )


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("dimensions", [64, 2048])
def test_float32_neighbours_rank_as_exact_distances_do(distance, dimensions):
    rng = np.random.default_rng(dimensions)
    one, other = rng.uniform(1, 2, (2, dimensions)).astype(np.float32)
    # Copies of one feature; that moved in one place by up to three units in the last place of
    # float32, or by hundredths; and a few unlike it.
    steps = np.concatenate([np.arange(-3, 4) * np.spacing(one[0]), [0.01, 0.02, 0.03]])
    gallery = one.repeat(90).reshape(dimensions, 90).T.copy()
    gallery[:, 0] += rng.choice(steps, 90)
    gallery[80:] = rng.uniform(1, 2, (10, dimensions))
    # Seen from `one` the units in the last place are ties: they count squared, some 1e-16 of the
    # whole. Seen from `other` they are differences, but far below float32's rounding.
    query, query_labels = np.stack([one, other]), [[1, 1], [2, 1]]
    gallery_labels = np.stack([rng.integers(-1, 4, 90), rng.integers(1, 4, 90)], axis=1)

    def dot(a, b):
        return math.fsum(a.astype(np.float64) * b)  # products of float32 are exact in float64

    distances = np.empty((2, 90))
    for i, q in enumerate(query):
        for j, g in enumerate(gallery):
            d = q.astype(np.float64) - g
            cosine = dot(q, g) / math.sqrt(dot(q, q) * dot(g, g))
            distances[i, j] = dot(d, d) if distance == "euclidean" else 1 - cosine
    places = levels(distances)
    assert [len(set(row)) for row in places[:, :80]] == [4, 10]  # as the comment says
    assert_same(
        ranked(query, gallery, query_labels, gallery_labels, distance=distance),
        naive(places.astype(np.float64), query_labels, gallery_labels, 50),
    )


def test_query_without_right_answer_is_left_out():
    labels = [[1, 2], [3, 2]]
    gallery = torch.eye(2)
    ranking = ranked(gallery, gallery, [[1, 1], [2, 1]], labels)
    assert ranking.valid.tolist() == [True, False]
    assert ranking.first_right_rank.tolist() == [1, 0]
    assert ranking.ap_step[1].isnan()
    assert ranking.ap_trapezoid[1].isnan()
    assert ranking.summary() == {
        "rank1": 1.0,
        "rank5": 1.0,
        "rank10": 1.0,
        "rank20": 1.0,
        "map": 1.0,
        "map_step": 1.0,
        "queries": 2,
        "valid": 1,
    }
    assert list(ranking.summary()) == [*METRICS, "queries", "valid"]


def test_no_valid_query_gives_nan():
    ranking = ranked(torch.eye(2), torch.eye(2), [[1, 1], [2, 1]], [[-1, 2], [1, 1]])
    assert not ranking.valid.any()
    assert ranking.cmc.isnan().all()
    summary = ranking.summary()
    assert summary["valid"] == 0
    assert math.isnan(summary["rank1"])
    assert math.isnan(summary["map"])


def test_summary_does_not_depend_on_max_rank():
    gallery = torch.arange(1.0, 31.0)[:, None]
    labels = [[2, 2]] * 29 + [[1, 2]]
    labels[14] = [3, 2]
    query, query_labels = torch.zeros(2, 1), [[1, 1], [3, 1]]
    short = ranked(query, gallery, query_labels, labels, distance="euclidean", max_rank=1)
    long = ranked(query, gallery, query_labels, labels, distance="euclidean", max_rank=60)
    assert short.cmc.tolist() == [0.0]
    assert long.cmc.tolist() == [0.0] * 14 + [0.5] * 15 + [1.0] * 31
    assert short.summary() == long.summary()
    assert short.summary()["rank20"] == 0.5


def test_given_distances():
    generator = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(5, 3, generator=generator), torch.randn(40, 3, generator=generator)
    labels = {
        "query_ids": torch.tensor([1, 2, 3, 1, 2]),
        "gallery_ids": torch.arange(40) % 5 - 1,
        "query_cameras": torch.tensor([1, 1, 2, 2, 3]),
        "gallery_cameras": torch.arange(40) % 3 + 1,
    }
    expected = rank(query, gallery, distance="euclidean", **labels)
    distances = torch.cdist(query.double(), gallery.double())
    assert_same(rank_distances(distances, chunk=2, **labels), expected)
    assert_same(rank_distances(distances.T.contiguous().T, **labels), expected)
    with pytest.raises(ValueError, match=r"1 of 5 rows of distances hold NaN .*row 2"):
        rank_distances(distances.clone().index_fill_(0, torch.tensor(2), torch.nan), **labels)
    with pytest.raises(ValueError, match=r"floating point \[Q, G\]"):
        rank_distances(distances.long(), **labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_any_integer_labels_and_any_float_embeddings(dtype):
    features = torch.tensor([[1.0, 0.5], [0.25, 1.0], [1.0, 0.75]])
    ids, cameras = torch.tensor([1, 2, 1]), torch.tensor([1, 1, 2])
    expected = rank(
        features,
        features,
        query_ids=ids,
        gallery_ids=ids,
        query_cameras=cameras,
        gallery_cameras=cameras,
    )
    other = rank(
        features.bfloat16().requires_grad_(),
        features.half(),
        query_ids=ids.to(dtype),
        gallery_ids=ids,
        query_cameras=cameras,
        gallery_cameras=cameras.to(dtype),
    )
    assert_same(other, expected)
    assert not other.ap_step.requires_grad


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_embeddings_are_left_as_they_were(distance):
    query = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    gallery = torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    before = query.clone(), gallery.clone()
    ranked(query, gallery, [[1, 1]], [[1, 2], [2, 2]], distance=distance)
    assert torch.equal(query, before[0])
    assert torch.equal(gallery, before[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same():
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(500, 64, generator=generator)
    labels = torch.stack([torch.arange(500) % 40 - 1, torch.arange(500) % 6], dim=1)
    queries = torch.nonzero(labels[:, 0] > 0)[:60, 0]
    expected = ranked(gallery[queries], gallery, labels[queries], labels)
    on_device = gallery.cuda()
    assert_same(ranked(on_device[queries.cuda()], on_device, labels[queries], labels), expected)


def bad(**changes):
    return {
        "query": torch.ones(2, 3),
        "gallery": torch.ones(4, 3),
        "query_ids": torch.tensor([1, 2]),
        "gallery_ids": torch.tensor([1, 2, 0, -1]),
        "query_cameras": torch.tensor([1, 1]),
        "gallery_cameras": torch.tensor([2, 2, 2, 2]),
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": torch.ones(3)}, r"query must be floating point \[rows, D\].*\[3\]"),
        ({"query": torch.ones(0, 3)}, r"query must be .*\[0, 3\]"),
        ({"gallery": torch.ones(0, 3)}, r"gallery must be .*at least one row .*\[0, 3\]"),
        ({"gallery": torch.ones(4, 3).long()}, "gallery must be floating point .*int64"),
        ({"gallery": torch.ones(4, 2)}, "3-d on cpu, 2-d on cpu"),
        ({"gallery": torch.ones(4, 3, device="meta")}, "3-d on cpu, 3-d on meta"),
        ({"query_ids": torch.tensor([1])}, r"query_ids must be \[2\].*each query row.*\[1\]"),
        ({"gallery_cameras": torch.ones(4, 1).long()}, r"gallery_cameras must be \[4\]"),
        ({"query_ids": torch.tensor([1.0, 2.0])}, "query_ids must be integers, not .*float32"),
        ({"query_cameras": torch.tensor([True, True])}, "query_cameras .*integers, not .*bool"),
        ({"query_ids": torch.tensor([1, 0])}, r"1 of 2 query ids are below 1 \(first: row 1\)"),
        ({"gallery_ids": torch.tensor([1, 2, 0, -2])}, "gallery ids are below -1.*row 3"),
        (
            {"gallery": torch.tensor([[1.0], [math.nan], [1.0], [-math.inf]]).expand(4, 3)},
            r"2 of 4 gallery embeddings are NaN or infinite \(first: row 1\): .* leave them out",
        ),
        (
            {"query": torch.tensor([[1.0], [0.0]]).expand(2, 3)},
            r"1 of 2 query embeddings are zero.*row 1.*use distance='euclidean'",
        ),
        ({"distance": "manhattan"}, "'cosine' or 'euclidean', not 'manhattan'"),
        ({"max_rank": 0}, "max_rank and chunk must be at least 1"),
        ({"chunk": 0}, "max_rank and chunk must be at least 1"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        rank(**bad(**changes))
    assert "\n" not in str(error.value)


def test_zero_embeddings_are_fine_under_euclidean():
    assert rank(**bad(query=torch.zeros(2, 3)), distance="euclidean").valid.all()


@pytest.fixture(scope="module")
def golden():
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden values at {folder}")
    features = np.load(folder / "mars_small_features.npz")
    labels = np.stack([features["pid"], features["cam"]], axis=1).astype(np.int64)
    expected = json.loads((folder / "mars_small_expected.json").read_text())
    official = np.load(folder / "mars_small_official_ap_cmc.npz")
    return features["features"], labels, features["query_idx0"], expected, official


def check_golden(summary, expected, mean):
    assert summary[mean] == pytest.approx(expected["mAP"], abs=1e-9)
    for k in (1, 5, 10, 20):
        assert summary[f"rank{k}"] == pytest.approx(expected[f"R{k}"], abs=1e-9)


def test_golden_official(golden):
    features, labels, queries, expected, official = golden
    ranking = ranked(
        features[queries], features, labels[queries], labels, distance="euclidean", max_rank=100
    )
    wanted = expected["A_official_matlab_octave"]
    assert (len(features), ranking.summary()["valid"]) == (wanted["gallery"], wanted["n_query"])
    check_golden(ranking.summary(), wanted, "map")
    np.testing.assert_allclose(ranking.ap_trapezoid, official["ap"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ranking.cmc, official["cmc"], rtol=0, atol=1e-9)


def test_golden_ap3d(golden):
    features, labels, queries, expected, _ = golden
    keep = labels[:, 0] != -1
    ranking = ranked(
        features[queries], features[keep], labels[queries], labels[keep], distance="euclidean"
    )
    wanted = expected["B_AP3D_query+gallery_step_AP"]
    assert (keep.sum(), ranking.summary()["valid"]) == (wanted["gallery"], wanted["n_valid_query"])
    check_golden(ranking.summary(), wanted, "map_step")


@pytest.mark.slow
def test_golden_torchreid(golden):
    features, labels, queries, expected, _ = golden
    keep = labels[:, 0] != -1
    keep[queries] = False
    ranking = ranked(
        features[queries], features[keep], labels[queries], labels[keep], distance="euclidean"
    )
    wanted = expected["C_torchreid_gallery_excl_query_step_AP"]
    assert (keep.sum(), ranking.summary()["valid"]) == (wanted["gallery"], wanted["n_valid_query"])
    check_golden(ranking.summary(), wanted, "map_step")


def test_every_mars_query_is_valid_unless_queries_leave_the_gallery():
    folder = SHARED / "mars_info"
    if not folder.is_dir():
        pytest.skip(f"no MARS info files at {folder}")
    loadmat = pytest.importorskip("scipy.io").loadmat
    table = loadmat(folder / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
    queries = loadmat(folder / "query_IDX.mat")["query_IDX"].astype(np.int64).ravel() - 1
    labels = table[:, 2:4]
    features = np.random.default_rng(0).normal(size=(len(labels), 4))
    whole = ranked(features[queries], features, labels[queries], labels).summary()
    assert (whole["queries"], whole["valid"]) == (1980, 1980)
    keep = np.ones(len(labels), dtype=bool)
    keep[queries] = False
    without = ranked(features[queries], features[keep], labels[queries], labels[keep]).summary()
    assert (without["queries"], without["valid"]) == (1980, 1840)
