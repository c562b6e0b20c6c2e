from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmanet.losses import concentration_eq10, stripe_log_mass_eq9
from cmmanet.model import CMMANet


@cache
def small_network(backbone="resnet18"):
    torch.manual_seed(0)
    network = CMMANet(backbone, 5, mam_after=(3, 4), submodules=2, hidden=8).eval()
    for mam in network.mams.values():
        torch.nn.init.normal_(mam.respond.weight)  # far from uniform, so that attention matters
    return network


@cache
def clips():
    return torch.randn(2, 3, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def naive_mam(mam, features, submodules):
    """Eq. 1 to 4 for one image [D, h, w], one submodule and one copy after the other."""
    hidden = mam.reduce.out_channels // submodules
    attention = []
    for k in range(submodules):
        own = slice(hidden * k, hidden * (k + 1))
        inner, bias = mam.reduce.weight[own, :, 0, 0], mam.reduce.bias[own, None, None]
        r = torch.einsum("md,dhw->mhw", inner, features) + bias
        r = torch.einsum("m,mhw->hw", mam.respond.weight[k, :, 0, 0], r.clamp(min=0))
        attention.append(r.exp() / r.exp().sum())
    attended = [a * features for a in attention]
    return features + torch.stack(attended).max(0).values, torch.stack(attention)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
@torch.no_grad()
def test_the_whole_network_is_eq1_to_eq5(backbone):
    network = small_network(backbone)
    features, logits, log_attention = network(clips())
    maps = clips().flatten(0, 1)
    for number, stage in enumerate(network.backbone.stages, start=1):
        maps = stage(maps)
        if number >= 3:
            mam = network.mams[str(number)]
            refined, attention = zip(*(naive_mam(mam, image, 2) for image in maps), strict=True)
            maps = torch.stack(refined)
            ours = log_attention[number - 3].flatten(0, 1).exp()
            torch.testing.assert_close(ours, torch.stack(attention), rtol=1e-3, atol=1e-5)
    for b in range(2):
        temporal_average = sum(maps[3 * b : 3 * b + 3]) / 3
        expected = torch.stack([channel.sum() / channel.numel() for channel in temporal_average])
        torch.testing.assert_close(features[b], expected, rtol=1e-3, atol=1e-5)
        weight, bias = network.classifier.weight, network.classifier.bias
        torch.testing.assert_close(logits[b], weight @ expected + bias, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("last_stride", [1, 2])
def test_shapes_of_the_papers_network(last_stride):
    with torch.device("meta"):
        network = CMMANet("resnet50", 625, mam_after=(3, 4), last_stride=last_stride)
        output = network(torch.empty(4, 6, 3, 256, 128))
    assert output.features.shape == (4, 2048)
    assert output.logits.shape == (4, 625)
    last = (8, 4) if last_stride == 2 else (16, 8)
    assert [a.shape for a in output.log_attention] == [(4, 6, 4, 16, 8), (4, 6, 4, *last)]


def test_shapes_of_inception():
    with torch.device("meta"):
        network = CMMANet("inception_v3", 625, mam_after=(3, 4))
        output = network(torch.empty(1, 6, 3, 256, 128))
    assert output.features.shape == (1, 2048)
    assert [a.shape for a in output.log_attention] == [(1, 6, 4, 14, 6), (1, 6, 4, 6, 2)]


def test_every_parameter_of_inception_learns():
    torch.manual_seed(0)
    network = CMMANet("inception_v3", 5, mam_after=(3, 4), submodules=2, hidden=8)
    network.to(memory_format=torch.channels_last)
    output = network(torch.randn(2, 2, 3, 128, 96))
    assert [a.shape for a in output.log_attention] == [(2, 2, 2, 6, 4), (2, 2, 2, 2, 1)]
    (
        output.logits.square().mean() + sum(a.square().mean() for a in output.log_attention)
    ).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


@torch.no_grad()
def test_the_baseline_is_the_pooled_backbone():
    torch.manual_seed(0)
    baseline = CMMANet("resnet18", 5, mam_after=()).eval()
    features, _, log_attention = baseline(clips())
    maps = clips().flatten(0, 1)
    for stage in baseline.backbone.stages:
        maps = stage(maps)
    assert log_attention == []
    torch.testing.assert_close(features, maps.mean((-2, -1)).reshape(2, 3, -1).mean(1))


@pytest.mark.parametrize("mam_after", [(0,), (5,), (4, 4)])
def test_mams_sit_behind_distinct_stages(mam_after):
    with pytest.raises(ValueError, match="distinct stages from 1 to 4"):
        CMMANet("resnet18", 5, mam_after=mam_after)


def test_order_of_mams_does_not_change_their_initial_weights():
    states = []
    for mam_after in [(3, 4), (4, 3)]:
        torch.manual_seed(0)
        states.append(CMMANet("resnet18", 5, mam_after=mam_after, hidden=8).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_the_shallowest_mam_is_first():
    with torch.device("meta"):
        network = CMMANet("resnet18", 5, mam_after=(4, 1, 3))
        attention = network(torch.empty(1, 2, 3, 64, 32)).log_attention
    assert [a.shape[-2:] for a in attention] == [(16, 8), (4, 2), (2, 1)]


@torch.no_grad()
def test_the_mean_of_frame_features_is_the_clip_feature():
    network = small_network()
    frame_features = network.frame_features(clips().flatten(0, 1))
    assert frame_features.shape == (6, 512)
    expected = network(clips()).features
    torch.testing.assert_close(
        frame_features.reshape(2, 3, -1).mean(1), expected, rtol=1e-4, atol=1e-5
    )


@given(order=st.permutations(range(3)))
@settings(max_examples=8, deadline=None)
@torch.no_grad()
def test_order_of_frames_does_not_matter(order):
    network = small_network()
    shuffled, straight = network(clips()[:, order]), network(clips())
    torch.testing.assert_close(shuffled.features, straight.features, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(shuffled.log_attention, straight.log_attention, strict=True):
        torch.testing.assert_close(ours, theirs[:, order], rtol=1e-4, atol=1e-5)


def test_bfloat16_autocast_keeps_attention_and_features_in_float32():
    torch.manual_seed(0)
    network = CMMANet("resnet18", 5, mam_after=(3, 4)).to(memory_format=torch.channels_last).eval()
    batch = clips()
    expected = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        features, logits, log_attention = network(batch)
    assert features.dtype == torch.float32
    assert all(a.dtype == torch.float32 for a in log_attention)
    similarity = torch.cosine_similarity(features, expected.features)
    assert similarity.min() > 0.999
    (logits.float().sum() + sum(a.sum() for a in log_attention)).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_a_strict_state_dict_round_trip():
    network = small_network()
    other = CMMANet("resnet18", 5, mam_after=(3, 4), submodules=2, hidden=8).eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other(clips()).logits, network(clips()).logits)


def bnneck(backbone="resnet18", mam_after=(3, 4)):
    """A network with a neck whose statistics and scale are nowhere near 0 and 1."""
    torch.manual_seed(0)
    network = CMMANet(backbone, 5, mam_after=mam_after, submodules=2, hidden=8, neck="bnneck")
    generator = torch.Generator().manual_seed(3)
    for values in (network.neck.running_mean, network.neck.running_var, network.neck.weight):
        values.data.uniform_(0.5, 2, generator=generator)
    return network


@torch.no_grad()
def test_bnneck_normalises_over_the_batch_between_feature_and_classifier():
    network = bnneck().train()
    features, logits, _ = network(clips())
    # What the triplet sees is Eq. 5, as without a neck.
    plain = CMMANet("resnet18", 5, mam_after=(3, 4), submodules=2, hidden=8).train()
    state = network.state_dict()
    plain.load_state_dict({key: state[key] for key in plain.state_dict() if key in state}, False)
    torch.testing.assert_close(features, plain(clips()).features)
    for b in range(2):
        normalised = []
        for d in range(512):
            column = [features[other, d].item() for other in range(2)]
            mean = sum(column) / 2
            variance = sum((value - mean) ** 2 for value in column) / 2
            scale = network.neck.weight[d].item() / (variance + 1e-5) ** 0.5
            normalised.append((column[b] - mean) * scale)
        expected = network.classifier.weight @ torch.tensor(normalised)
        torch.testing.assert_close(logits[b], expected, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_the_mean_of_frame_features_is_the_clip_feature_behind_the_neck():
    network = bnneck().eval()
    frame_features = network.frame_features(clips().flatten(0, 1))
    features, logits, _ = network(clips())
    neck = network.neck
    scale = neck.weight / (neck.running_var + neck.eps).sqrt()
    expected = (features - neck.running_mean) * scale
    torch.testing.assert_close(
        frame_features.reshape(2, 3, -1).mean(1), expected, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(logits, expected @ network.classifier.weight.T)
    assert not torch.allclose(features, expected, atol=0.1)


def test_initial_classifier_behind_the_neck():
    torch.manual_seed(0)
    network = CMMANet("resnet18", 625, mam_after=(), neck="bnneck")
    assert network.classifier.bias is None
    assert network.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert network.classifier.weight.mean().item() == pytest.approx(0, abs=1e-5)
    assert not network.neck.bias.requires_grad
    # Nothing is drawn before the classifier, so that the rest is as without a neck.
    torch.manual_seed(0)
    plain = CMMANet("resnet18", 625, mam_after=()).state_dict()
    state = network.state_dict()
    assert {key for key in plain if not torch.equal(plain[key], state.get(key, plain[key]))} == {
        "classifier.weight"
    }


def test_the_necks_shift_stays_zero_and_its_scale_learns():
    network = bnneck().train()
    before = network.neck.weight.detach().clone()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.5, fused=True)
    for _ in range(2):
        optimiser.zero_grad()
        network(clips()).logits.square().sum().backward()
        optimiser.step()
    assert torch.equal(network.neck.bias, torch.zeros(512)) and network.neck.bias.grad is None
    assert not torch.equal(network.neck.weight, before)
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_the_triplet_does_not_see_the_neck():
    network = bnneck().train()
    network(clips()).features.square().sum().backward()
    assert network.neck.weight.grad is None and network.classifier.weight.grad is None


def test_bfloat16_autocast_keeps_the_neck_in_float32():
    network = bnneck().to(memory_format=torch.channels_last).eval()
    frames = clips().flatten(0, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network.frame_features(frames).dtype == torch.float32


def test_a_strict_state_dict_round_trip_with_a_neck():
    network = bnneck().eval()
    other = CMMANet("resnet18", 5, mam_after=(3, 4), submodules=2, hidden=8, neck="bnneck").eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other(clips()).logits, network(clips()).logits)
    with pytest.raises(RuntimeError, match="neck"):
        small_network().load_state_dict(network.state_dict())


def test_a_neck_is_none_or_bnneck():
    with pytest.raises(ValueError, match="no neck 'bn': there are none, bnneck"):
        CMMANet("resnet18", 5, mam_after=(), neck="bn")


def test_without_a_neck_the_state_is_as_before_there_were_any():
    keys = [key for key in small_network().state_dict() if not key.startswith(("backbone", "mams"))]
    assert keys == ["classifier.weight", "classifier.bias"]


def test_the_strong_recipes_maps_are_cut_in_whole_rows():
    with torch.device("meta"):
        network = CMMANet("resnet50", 625, mam_after=(3, 4), last_stride=1, neck="bnneck")
        attention = network(torch.empty(4, 6, 3, 256, 128)).log_attention
    for log in attention:
        assert log.shape == (4, 6, 4, 16, 8)
        assert stripe_log_mass_eq9(log).shape == (4, 6, 4, 4)
        assert concentration_eq10(log).shape == ()
