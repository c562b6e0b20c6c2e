import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from cmmanet.model.attention import MultiAttention, log_attention_eq2, refine_eq4

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def naive_attention_eq2(response):
    """Eq. 2 for one response [h, w]."""
    exponentials = [[math.exp(value) for value in row] for row in response.tolist()]
    total = sum(sum(row) for row in exponentials)
    return torch.tensor([[value / total for value in row] for row in exponentials]).double()


def naive_refine_eq4(features, attention):
    """Eq. 3 and 4 for one image: features [D, h, w], attention [K, h, w], K copies and all."""
    attended = [[a * f for f in features] for a in attention]  # x_{k,d} = a_k ⊙ f_d
    refined = []
    for d, f in enumerate(features):
        strongest = attended[0][d]
        for x in attended[1:]:
            strongest = torch.maximum(strongest, x[d])
        refined.append(f + strongest)
    return torch.stack(refined)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_attention_is_eq2(dtype):
    torch.manual_seed(0)
    responses = (3 * torch.randn(2, 3, 4, 2)).to(dtype)
    log_attention = log_attention_eq2(responses)
    assert log_attention.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for image, expected_from in zip(log_attention, responses, strict=True):
        for log_a, response in zip(image, expected_from, strict=True):
            torch.testing.assert_close(
                log_a.exp().double(), naive_attention_eq2(response), rtol=1e-5, atol=1e-7
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("submodules", [1, 4])
def test_refine_is_eq4_for_features_of_either_sign(dtype, submodules):
    torch.manual_seed(0)
    features = torch.randn(3, 5, 4, 2).to(dtype)
    features[0, 0, 0, 0] = 0
    log_attention = log_attention_eq2(2 * torch.randn(3, submodules, 4, 2).to(dtype))
    refined = refine_eq4(features, log_attention)
    # In bf16 the added 1/hw of f would be lost.
    assert refined.dtype == torch.promote_types(dtype, torch.float32)
    rtol = 1e-12 if dtype == torch.float64 else 1e-6
    for image, f, log_a in zip(refined, features.double(), log_attention.double(), strict=True):
        expected = naive_refine_eq4(f, log_a.exp())
        torch.testing.assert_close(image.double(), expected, rtol=rtol, atol=1e-8)


@given(
    features=st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6),
    responses=st.lists(st.floats(-30, 30), min_size=18, max_size=18),
)
@settings(max_examples=50, deadline=None)
def test_refine_is_eq4_for_any_feature(features, responses):
    f = torch.tensor(features, dtype=torch.float64).reshape(1, 3, 2)
    log_attention = log_attention_eq2(torch.tensor(responses).double().reshape(3, 3, 2))
    expected = naive_refine_eq4(f, log_attention.exp())
    torch.testing.assert_close(refine_eq4(f, log_attention), expected, rtol=1e-12, atol=1e-12)


@given(shift=st.floats(-50, 50), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_attention_is_a_distribution_that_a_constant_response_does_not_move(shift, seed):
    responses = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(seed)).double()
    log_attention = log_attention_eq2(responses)
    torch.testing.assert_close(log_attention.exp().sum((-2, -1)), torch.ones(2, 4).double())
    torch.testing.assert_close(log_attention_eq2(responses + shift), log_attention)


def test_each_submodule_is_eq1_with_weights_of_its_own():
    torch.manual_seed(0)
    module = MultiAttention(channels=6, submodules=3, hidden=5).double()
    features = torch.randn(2, 6, 4, 2).double()
    responses = module.responses_eq1(features)
    for k in range(3):
        own = slice(5 * k, 5 * (k + 1))
        inner, bias = module.reduce.weight[own, :, 0, 0], module.reduce.bias[own]
        outer = module.respond.weight[k, :, 0, 0]
        for n in range(2):
            for i in range(4):
                for j in range(2):
                    hidden = torch.clamp(inner @ features[n, :, i, j] + bias, min=0)
                    torch.testing.assert_close(responses[n, k, i, j], outer @ hidden)


def test_the_papers_second_mam_has_the_papers_size():
    with torch.device("meta"):
        module = MultiAttention(channels=2048, submodules=4)
    assert sum(p.numel() for p in module.parameters()) == 4 * (2048 * 256 + 256 + 256)


def test_attention_starts_near_uniform_and_learns():
    torch.manual_seed(0)
    module = MultiAttention(channels=64, submodules=4)
    features = torch.randn(8, 64, 8, 4).relu().requires_grad_()
    refined, log_attention = module(features)
    torch.testing.assert_close(log_attention.exp() * 32, torch.ones(8, 4, 8, 4), rtol=0, atol=0.3)
    refined.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in module.parameters())


def test_gradients():
    torch.manual_seed(0)
    module = MultiAttention(channels=3, submodules=2, hidden=4).double()
    torch.nn.init.normal_(module.respond.weight)
    features = torch.randn(2, 3, 2, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(module, features)


@pytest.mark.slow
def test_gradient_is_that_of_the_k_copies():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 2).double().requires_grad_()
    responses = torch.randn(2, 3, 4, 2).double().requires_grad_()
    cotangent = torch.randn(2, 5, 4, 2).double()
    log_attention = log_attention_eq2(responses)
    ours = torch.autograd.grad(
        refine_eq4(features, log_attention), (features, responses), cotangent, retain_graph=True
    )
    copies = features + (log_attention.exp()[:, :, None] * features[:, None]).amax(1)
    expected = torch.autograd.grad(copies, (features, responses), cotangent)
    torch.testing.assert_close(ours, expected)


def test_maps_too_large_to_be_refined_at_once():
    torch.manual_seed(0)
    features = torch.randn(5, 2048, 32, 16).to(memory_format=torch.channels_last).requires_grad_()
    responses = torch.randn(5, 2, 32, 16, requires_grad=True)
    log_attention = log_attention_eq2(responses)
    refined = refine_eq4(features, log_attention)
    copies = features + (log_attention.exp()[:, :, None] * features[:, None]).amax(1)
    torch.testing.assert_close(refined, copies)
    cotangent = torch.randn_like(refined)
    ours = torch.autograd.grad(refined, (features, responses), cotangent, retain_graph=True)
    expected = torch.autograd.grad(copies, (features, responses), cotangent)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_type_that_is_asked_for_is_rounded_to_once():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 2).bfloat16().requires_grad_()
    log_attention = log_attention_eq2(torch.randn(2, 3, 4, 2))
    refined = refine_eq4(features, log_attention, torch.bfloat16)
    assert torch.equal(refined, refine_eq4(features, log_attention).bfloat16())
    (gradient,) = torch.autograd.grad(refined.sum(), features)
    assert gradient.dtype == torch.bfloat16


def test_channels_last_and_bfloat16_autocast():
    torch.manual_seed(0)
    module = MultiAttention(channels=16, submodules=4, hidden=8)
    features = torch.randn(2, 16, 8, 4).to(memory_format=torch.channels_last)
    expected, expected_log = module(features)
    with torch.autocast("cpu", torch.bfloat16):
        refined, log_attention = module(features.bfloat16())
    assert refined.dtype == log_attention.dtype == torch.float32
    assert refined.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(log_attention, expected_log, rtol=0, atol=0.01)
    torch.testing.assert_close(refined.float(), expected, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_peaked_responses_stay_finite(dtype):
    torch.manual_seed(0)
    responses = (1e4 * torch.randn(2, 4, 8, 4).sign()).to(dtype)
    responses[:, :, 0, 0] = 2e4
    responses.requires_grad_()
    features = torch.randn(2, 6, 8, 4).to(dtype).requires_grad_()
    log_attention = log_attention_eq2(responses)
    refined = refine_eq4(features, log_attention)
    refined.float().sum().backward()
    assert log_attention.isfinite().all()
    for tensor in (refined, features.grad, responses.grad):
        assert tensor.isfinite().all()
    torch.testing.assert_close(refined[..., 1:, :], features[..., 1:, :].float())
    positive = functional.relu(features[..., 0, 0]).float()
    torch.testing.assert_close(refined[..., 0, 0].relu(), 2 * positive)
