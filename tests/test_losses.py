import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from cmmanet import geometry, losses, messages
from cmmanet.losses import (
    attention_statistics,
    batch_hard_triplet,
    concentration_eq10,
    diversity_eq7,
    diversity_eq8,
    identity_loss,
    stripe_log_mass_eq9,
)
from cmmanet.model import attention
from cmmanet.model.attention import log_attention_eq2

DTYPES = [torch.float32, torch.bfloat16, torch.float64]
ATTENTION_LOSSES = [diversity_eq7, diversity_eq8, concentration_eq10]


def log_attention(*shape, seed=0, scale=2.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return log_attention_eq2(scale * torch.randn(*shape, generator=generator, dtype=dtype))


def uniform(*shape):
    return torch.full(shape, -math.log(shape[-2] * shape[-1]))


def disjoint():
    """K = 4 one-hot distributions on an 8×4 map, the k-th within the k-th stripe."""
    one_hot = torch.zeros(3, 4, 8, 4)
    for k in range(4):
        one_hot[:, k, 2 * k, k] = 1
    return one_hot.log()


# Each of these is one of the paper's formulas for one image, its attention [K, h·w] nested lists.


def naive_diversity_eq7(a):
    total = 0.0
    for j in range(len(a)):
        for k in range(len(a)):
            if j != k:
                squares = [
                    (math.sqrt(x) - math.sqrt(y)) ** 2 for x, y in zip(a[j], a[k], strict=True)
                ]
                distance = math.sqrt(sum(squares)) / math.sqrt(2)  # Eq. 6
                total += 1 - distance**2
    return total


def naive_diversity_eq8(a):
    total = 0.0
    for j in range(len(a)):
        for k in range(len(a)):
            product = sum(math.sqrt(x) * math.sqrt(y) for x, y in zip(a[j], a[k], strict=True))
            total += (product - (j == k)) ** 2
    return total


def naive_stripe_mass_eq9(a):
    delta = len(a[0]) // len(a)
    stripes = range(len(a))
    return [[sum(a_k[s * delta : (s + 1) * delta]) for s in stripes] for a_k in a]


def naive_concentration_eq10(a):
    mass = naive_stripe_mass_eq9(a)
    return sum(-math.log(mass[k][k]) for k in range(len(a)))


NAIVE = {
    diversity_eq7: naive_diversity_eq7,
    diversity_eq8: naive_diversity_eq8,
    concentration_eq10: naive_concentration_eq10,
}


@pytest.mark.parametrize("module", [losses, attention, geometry, messages])
def test_examples_in_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ATTENTION_LOSSES)
@pytest.mark.parametrize("shape", [(4, 8, 4), (3, 3, 2), (4, 2, 6), (1, 2, 2)])
def test_attention_losses_are_the_papers_averaged_over_images(loss, shape, dtype):
    batch = log_attention(2, 3, *shape).to(dtype)
    images = batch.double().exp().flatten(0, 1).flatten(2).tolist()
    expected = sum(NAIVE[loss](a) for a in images) / len(images)
    result = loss(batch)
    assert result.dtype == torch.promote_types(dtype, torch.float32)
    # Rounded to bfloat16, a no longer sums to 1, and Eq. 7 and 8 differ from Eq. 6 by that.
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float64: 1e-10}[dtype]
    assert result.item() == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("shape", [(4, 8, 4), (3, 3, 2), (4, 2, 6)])
def test_stripe_mass_is_eq9(shape):
    batch = log_attention(2, *shape)
    for image, ours in zip(
        batch.exp().flatten(2).tolist(), stripe_log_mass_eq9(batch), strict=True
    ):
        expected = torch.tensor(naive_stripe_mass_eq9(image), dtype=torch.float64)
        torch.testing.assert_close(ours.exp(), expected)


def test_stripes_are_whole_rows_when_k_divides_h():
    batch = log_attention(5, 4, 8, 4)
    by_rows = batch.exp().reshape(5, 4, 4, 2, 4).sum((-2, -1))
    torch.testing.assert_close(stripe_log_mass_eq9(batch).exp(), by_rows)


@pytest.mark.parametrize("function", [stripe_log_mass_eq9, concentration_eq10])
def test_stripes_of_a_map_that_k_does_not_divide(function):
    with pytest.raises(ValueError, match=r"4 submodules cannot share a 3×2 map .* divide 6"):
        function(uniform(2, 4, 3, 2))


def test_losses_at_uniform_attention():
    assert diversity_eq8(uniform(2, 6, 4, 8, 4)).item() == pytest.approx(12, abs=1e-4)
    assert diversity_eq7(uniform(2, 6, 4, 8, 4)).item() == pytest.approx(12, abs=1e-4)
    assert concentration_eq10(uniform(2, 6, 4, 16, 8)).item() == pytest.approx(4 * math.log(4))


def test_losses_at_disjoint_attention():
    for loss in ATTENTION_LOSSES:
        assert loss(disjoint()).item() == 0


def test_eq8_squares_what_eq7_sums():
    half = torch.tensor([[[[1.0, 0.0]], [[0.5, 0.5]]]]).log()  # overlap √½
    assert diversity_eq7(half).item() == pytest.approx(2 * math.sqrt(0.5))
    assert diversity_eq8(half).item() == pytest.approx(2 * 0.5)


maps = st.tuples(
    st.sampled_from([(1, 2, 3), (2, 4, 2), (3, 3, 2), (4, 8, 4), (4, 2, 6)]),
    st.integers(0, 999),
    st.floats(0, 100),
).map(lambda drawn: log_attention(3, *drawn[0], seed=drawn[1], scale=drawn[2]))


@given(batch=maps)
@settings(max_examples=50, deadline=None)
def test_bounds_of_the_attention_losses(batch):
    submodules = batch.shape[-3]
    eq7, eq8 = diversity_eq7(batch).item(), diversity_eq8(batch).item()
    assert -1e-9 <= eq8 <= eq7 + 1e-9 <= submodules * (submodules - 1) + 2e-9
    assert concentration_eq10(batch).item() >= -1e-9
    stripe_log_mass = stripe_log_mass_eq9(batch)
    rows = stripe_log_mass.exp().sum(-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    trace = -stripe_log_mass.diagonal(dim1=-2, dim2=-1).sum(-1).mean()
    torch.testing.assert_close(concentration_eq10(batch), trace)
    for statistic in attention_statistics(batch):
        assert -1e-9 <= statistic.item() <= 1 + 1e-9


@given(batch=maps, data=st.data())
@settings(max_examples=30, deadline=None)
def test_diversity_does_not_depend_on_which_submodule_is_which(batch, data):
    order = data.draw(st.permutations(range(batch.shape[-3])))
    torch.testing.assert_close(diversity_eq8(batch[:, order]), diversity_eq8(batch))
    torch.testing.assert_close(diversity_eq7(batch[:, order]), diversity_eq7(batch))


@pytest.mark.parametrize("loss", ATTENTION_LOSSES)
def test_gradients_of_attention_losses(loss):
    responses = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda r: loss(log_attention_eq2(r)), responses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", ATTENTION_LOSSES)
def test_peaked_responses_give_finite_losses_and_gradients(loss, dtype):
    responses = 1e4 * torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(0)).sign()
    responses[0, :, 7, 3] = -2e4
    responses[1, :, 0, 0] = 2e4  # every submodule in the first stripe
    responses = responses.to(dtype).requires_grad_()
    value = loss(log_attention_eq2(responses))
    value.backward()
    assert value.isfinite()
    assert responses.grad.isfinite().all()


@pytest.mark.parametrize("loss", ATTENTION_LOSSES)
def test_autocast_does_not_touch_attention_losses(loss):
    batch = log_attention(2, 4, 8, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(batch), loss(batch.clone()))
        autocast = loss(batch)
    assert autocast.dtype == torch.float32
    assert torch.equal(autocast, loss(batch))


def test_attention_statistics():
    batch = log_attention(2, 3, 4, 8, 4).requires_grad_()
    entropy = own_stripe = overlap = 0.0
    images = batch.exp().flatten(0, 1).flatten(2).tolist()
    for a in images:
        entropy += sum(-p * math.log(p) for a_k in a for p in a_k) / math.log(32) / 4
        own_stripe += sum(naive_stripe_mass_eq9(a)[k][k] for k in range(4)) / 4
        overlap += naive_diversity_eq7(a) / (4 * 3)
    expected = [total / len(images) for total in (entropy, own_stripe, overlap)]
    statistics = attention_statistics(batch)
    assert [value.item() for value in statistics] == pytest.approx(expected)
    assert not any(value.requires_grad for value in statistics)


def test_attention_statistics_at_the_extremes():
    assert [v.item() for v in attention_statistics(uniform(3, 4, 8, 4))] == pytest.approx(
        [1, 0.25, 1]
    )
    assert [v.item() for v in attention_statistics(disjoint())] == pytest.approx([0, 1, 0])
    assert attention_statistics(uniform(3, 1, 8, 4)).overlap.item() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_identity_loss(dtype):
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.tensor([0, 4, 2, 2])
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        expected -= math.log(math.exp(row[label]) / sum(math.exp(value) for value in row))
    loss = identity_loss(logits, labels)
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert loss.item() == pytest.approx(expected / 4, rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_identity_loss(smoothing, dtype):
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.tensor([0, 4, 2, 2])
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        for identity, value in enumerate(row):
            log = math.log(math.exp(value) / sum(math.exp(other) for other in row))
            target = (1 - smoothing) * (identity == label) + smoothing / 5
            expected -= target * log
    loss = identity_loss(logits, labels, smoothing)
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert loss.item() == pytest.approx(expected / 4, rel=1e-5)
    if smoothing == 0:
        assert torch.equal(loss, identity_loss(logits, labels))


def test_smoothing_wants_no_certainty():
    # The best logits give the right one of N = 5 a probability of 1 − ε + ε/N.
    logits = torch.zeros(1, 5, dtype=torch.float64)
    logits[0, 3] = math.log((1 - 0.1 + 0.02) / 0.02)
    logits.requires_grad_()
    identity_loss(logits, torch.tensor([3]), 0.1).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), rtol=0, atol=1e-12)


def naive_batch_hard_triplet(features, labels, margin):
    hinges, active, positives, negatives = [], [], [], []
    for a in range(len(labels)):
        others = [i for i in range(len(labels)) if i != a]
        distance = [math.dist(features[a], f) for f in features]
        same = [distance[i] for i in others if labels[i] == labels[a]]
        different = [distance[i] for i in others if labels[i] != labels[a]]
        if same and different:
            violation = max(same) - min(different)
            positives.append(max(same))
            negatives.append(min(different))
            if margin is None:
                hinges.append(math.log(1 + math.exp(violation)))
                active.append(hinges[-1] > math.log(2))
            else:
                hinges.append(max(0.0, margin + violation))
                active.append(hinges[-1] > 0)
    return [sum(values) / len(values) for values in (hinges, active, positives, negatives)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("margin", [0.3, 5.0, None])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [3, 8, 3, 5, 3, 8], [1, 1, 1, 1, 1, 9]])
def test_triplet_loss(labels, margin, dtype):
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    triplet = batch_hard_triplet(features, torch.tensor(labels), margin)
    expected = naive_batch_hard_triplet(features.tolist(), labels, margin)
    assert triplet.loss.dtype == torch.promote_types(dtype, torch.float32)
    assert [value.item() for value in triplet] == pytest.approx(expected, rel=1e-5)


@given(
    seed=st.integers(0, 999),
    order=st.permutations(range(8)),
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(lambda x: len(set(x)) > 1),
)
@settings(max_examples=30, deadline=None)
def test_triplet_loss_of_any_batch(seed, order, labels):
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed)).double()
    ids = torch.tensor(labels)
    triplet = batch_hard_triplet(features, ids)
    expected = naive_batch_hard_triplet(features.tolist(), labels, 0.3)
    assert [value.item() for value in triplet] == pytest.approx(expected)
    shuffled = batch_hard_triplet(features[order], ids[order])
    torch.testing.assert_close(tuple(shuffled), tuple(triplet))


@pytest.mark.parametrize("margin", [0.3, None])
def test_gradients_of_the_triplet_loss(margin):
    torch.manual_seed(0)
    features = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 5])
    assert gradcheck(lambda f: batch_hard_triplet(f, labels, margin).loss, features)


@pytest.mark.parametrize("margin", [0.3, None])
@pytest.mark.parametrize("identical", [2, 3, 6])
def test_identical_features_give_finite_gradients(identical, margin):
    features = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    features[:identical] = features[0].clone()
    features.requires_grad_()
    triplet = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1, 2, 2]), margin)
    triplet.loss.backward()
    assert features.grad.isfinite().all()
    if identical == 6:
        assert triplet.loss.item() == pytest.approx(math.log(2) if margin is None else margin)
        assert triplet.active.item() == (0 if margin is None else 1)
        assert triplet.negative_distance.item() == 0


def test_small_distances_of_large_features_are_exact():
    features = torch.full((40, 2048), 10.0, dtype=torch.float64)
    features[:, 0] += 1e-4 * torch.arange(40)
    labels = torch.arange(40) // 2
    precise = batch_hard_triplet(features, labels).positive_distance.item()
    assert batch_hard_triplet(features.float(), labels).positive_distance.item() == pytest.approx(
        precise, rel=0.02
    )


def test_autocast_does_not_touch_the_triplet_loss():
    features = torch.randn(28, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(28) // 4
    with torch.autocast("cpu", torch.bfloat16):
        autocast = batch_hard_triplet(features, labels)
    assert torch.equal(autocast.loss, batch_hard_triplet(features, labels).loss)


@pytest.mark.parametrize("margin", [0.3, None])
@pytest.mark.parametrize("labels", [[1, 2, 3], [4, 4, 4]])
def test_a_batch_without_a_triplet_has_no_loss(labels, margin):
    features = torch.randn(3, 2, requires_grad=True)
    triplet = batch_hard_triplet(features, torch.tensor(labels), margin)
    assert all(value.isnan() for value in triplet)


@pytest.mark.parametrize("margin", [0.3, None])
def test_what_is_no_anchor_changes_nothing(margin):
    features = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    # The last has no positive: it is a negative of the others, and no anchor itself.
    triplet = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1, 2]), margin)
    triplet.loss.backward()
    assert features.grad.isfinite().all() and triplet.positive_distance > 0
