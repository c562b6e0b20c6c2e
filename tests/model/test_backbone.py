import hashlib
import re
from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn
from torchvision.models._api import WeightsEnum

from cmmanet.clips.normalise import normalise
from cmmanet.model.backbone import (
    InceptionInput,
    build_backbone,
    load_imagenet_weights,
    load_weights_file,
)

NAMES = ["resnet18", "resnet50", "mobilenet_v2", "inception_v3"]
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(backbone, maps):
    for stage in backbone.stages:
        maps = stage(maps)
    return maps


def torchvision_maps(network, images):
    """The last feature map of a torchvision network, by torchvision's own code."""
    if isinstance(network, torchvision.models.MobileNetV2):
        return network.features(images)
    kept = []
    handle = network.layer4.register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    network(images)
    handle.remove()
    return kept[0]


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()


@pytest.fixture
def saved(resnet18, tmp_path):
    path = tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(resnet18.state_dict(), path)
    return path


def test_channels_of_the_paper():
    with torch.device("meta"):
        assert build_backbone("resnet50", last_stride=2).channels == (256, 512, 1024, 2048)


def test_no_other_backbone_or_stride():
    with pytest.raises(ValueError, match="no backbone 'vgg16': there are resnet18, resnet50, mob"):
        build_backbone("vgg16", last_stride=2)
    with pytest.raises(ValueError, match="1 or 2, not 3"):
        build_backbone("resnet18", last_stride=3)


def test_inception_has_no_last_stride_of_1():
    with pytest.raises(ValueError, match="inception_v3 cannot have a last stride of 1, only 2"):
        build_backbone("inception_v3", last_stride=1)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_last_stride_1_changes_no_other_convolution(name):
    with torch.device("meta"):
        kept, halved = (build_backbone(name, last_stride=stride) for stride in (1, 2))
    changed = {
        key
        for (key, one), two in zip(kept.named_modules(), halved.modules(), strict=True)
        if isinstance(one, torch.nn.Conv2d) and one.stride != two.stride
    }
    assert (
        changed
        == {
            "resnet18": {"stages.3.layer4.0.conv1", "stages.3.layer4.0.downsample.0"},
            "resnet50": {"stages.3.layer4.0.conv2", "stages.3.layer4.0.downsample.0"},
            "mobilenet_v2": {"stages.3.features.14.conv.1.0"},
        }[name]
    )


def test_mobilenet_stages_end_where_the_map_is_about_to_shrink():
    with torch.device("meta"):
        backbone = build_backbone("mobilenet_v2", last_stride=2)
    blocks = [
        [int(name) for name, _ in stage.features.named_children()] for stage in backbone.stages
    ]
    assert blocks == [[*range(4)], [*range(4, 7)], [*range(7, 14)], [*range(14, 19)]]


def test_mobilenet_stages_before_the_last_go_negative():
    torch.manual_seed(0)
    backbone = build_backbone("mobilenet_v2", last_stride=2).eval()
    maps = torch.randn(6, 3, 64, 32)
    for stage in backbone.stages[:3]:
        maps = stage(maps)
        assert maps.min() < 0
    assert backbone.stages[3](maps).min() >= 0


@pytest.fixture(scope="module")
def inception():
    """torchvision's, as its pretrained one is: input transformed, with the auxiliary classifier."""
    torch.manual_seed(0)
    network = torchvision.models.inception_v3(
        weights=None, transform_input=True, init_weights=True
    ).eval()
    # Statistics and affine parameters that differ from each other in every channel; those of a
    # batch first, or features explode.
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        network(torch.randn(4, 3, 107, 91))
    return network.eval()


@torch.inference_mode()
def test_inception_is_torchvisions_and_leaves_a_files_classifiers_out(
    inception, tmp_path, monkeypatch
):
    path = tmp_path / "inception_v3.pth"
    state = inception.state_dict()
    assert any(key.startswith("AuxLogits.") for key in state)
    torch.save(state, path)
    backbone = build_backbone("inception_v3", last_stride=2).eval()
    load_weights_file(backbone, path, sha256=sha256(path))

    images = torch.randn(2, 3, 139, 97)
    maps = images
    for stage, channels in zip(backbone.stages, backbone.channels, strict=True):
        maps = stage(maps)
        assert maps.shape[1] == channels and maps.min() >= 0
    logits = inception.fc(maps.mean((-2, -1)))
    expected = inception(images)
    assert expected.std() > 0.1 and (expected[0] - expected[1]).abs().max() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)

    monkeypatch.setattr(inception, "transform_input", False)
    assert (inception(images) - logits).abs().max() > 0.1


def test_inceptions_input_is_torchvisions_to_the_last_bit(inception):
    images = torch.randn(4, 3, 33, 17) * 2
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(InceptionInput()(given), inception._transform_input(given))


def test_inceptions_input_is_pixels_from_minus_1_to_1():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    expected = (pixels / 255 - 0.5) / 0.5
    torch.testing.assert_close(InceptionInput()(normalise(pixels)), expected, rtol=0, atol=1e-6)


def test_inceptions_stages_hold_all_but_the_classifiers(inception):
    with torch.device("meta"):
        backbone = build_backbone("inception_v3", last_stride=2)
    keys = {key.split(".", 2)[2] for key in backbone.state_dict()}
    left_out = {key.split(".")[0] for key in set(inception.state_dict()) - keys}
    assert keys < set(inception.state_dict()) and left_out == {"AuxLogits", "fc"}
    starts = [next(name for name, _ in stage.named_children()) for stage in backbone.stages]
    assert starts == ["transform_input", "Conv2d_3b_1x1", "Mixed_6a", "Mixed_7a"]


@pytest.mark.filterwarnings("error")
def test_building_inception_warns_of_nothing():
    with torch.device("meta"):
        build_backbone("inception_v3", last_stride=2)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("resnet18", ".safetensors"), ("resnet18", ".pt"), ("mobilenet_v2", ".pth")],
)
def test_weights_file_round_trip(name, suffix, tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)

    backbone = build_backbone(name, last_stride=2).eval()
    load_weights_file(backbone, path, sha256=sha256(path).upper())
    images = torch.randn(6, 3, 64, 32)
    with torch.inference_mode():
        assert torch.equal(run(backbone, images), torchvision_maps(network, images))


def test_real_weights():
    path = SHARED / "weights" / "mobilenet_v2-imagenet-features.pth"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    backbone = build_backbone("mobilenet_v2", last_stride=2)
    load_weights_file(
        backbone, path, sha256="7c0df58649780856f8aef3c32bda2b65fe394fff00d1afc8204de0492e932e90"
    )
    loaded = {key.split(".", 2)[2]: value for key, value in backbone.state_dict().items()}
    expected = torch.load(path, weights_only=True)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.items())


def test_weights_from_before_batch_counters(resnet18, tmp_path):
    state = {k: v for k, v in resnet18.state_dict().items() if "num_batches_tracked" not in k}
    path = tmp_path / "old.pth"
    torch.save(state, path)
    backbone = build_backbone("resnet18", last_stride=2)
    load_weights_file(backbone, path, sha256=sha256(path))
    assert torch.equal(backbone.stages[3].layer4[1].conv2.weight, resnet18.layer4[1].conv2.weight)


def test_weights_of_another_backbone(saved):
    backbone = build_backbone("mobilenet_v2", last_stride=2)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(
        f"{saved}: not weights of mobilenet_v2: 260 missing, first features.0.0.weight; "
        "120 unexpected, first "
    )) as refusal:  # fmt: skip
        load_weights_file(backbone, saved, sha256=sha256(saved))
    assert "\n" not in str(refusal.value)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_weights_of_wrong_shape(resnet18, tmp_path):
    path = tmp_path / "wide.pth"
    torch.save(resnet18.state_dict() | {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}, path)
    with pytest.raises(
        ValueError,
        match=r"not weights of resnet18: 1 of a wrong shape, first layer1.0.conv1.weight is "
        r"\[64, 64, 1, 1\] and should be \[64, 64, 3, 3\]$",
    ):
        load_weights_file(build_backbone("resnet18", last_stride=2), path, sha256=sha256(path))


def test_weights_of_wrong_hash_are_never_decoded(tmp_path):
    path = tmp_path / "malicious.pth"
    path.write_bytes(b"not decodable")
    with pytest.raises(ValueError, match=r"its sha256 is [0-9a-f]{64}, not the 00ff that was ask"):
        load_weights_file(build_backbone("resnet18", last_stride=2), path, sha256="00ff")


def test_missing_weights_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such weights file"):
        load_weights_file(
            build_backbone("resnet18", last_stride=2), tmp_path / "none.pth", sha256=""
        )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x02cos\nsystem\n", b"<html>"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_undecodable_weights(content, suffix, tmp_path):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as weights") as refusal:
        load_weights_file(build_backbone("resnet18", last_stride=2), path, sha256=sha256(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}, "epoch": 3}])
def test_weights_that_are_no_state_dict(content, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="something other than a state dict"):
        load_weights_file(build_backbone("resnet18", last_stride=2), path, sha256=sha256(path))


def test_weights_of_unknown_format(tmp_path):
    with pytest.raises(ValueError, match=r"a \.safetensors, \.pth or \.pt file"):
        load_weights_file(
            build_backbone("resnet18", last_stride=2), tmp_path / "weights.h5", sha256=""
        )


def test_imagenet_weights_are_the_first_version(resnet18, monkeypatch):
    asked = []

    def get_state_dict(weights, **kwargs):
        asked.append((str(weights), kwargs["check_hash"] and kwargs["weights_only"]))
        return resnet18.state_dict()

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    backbone = build_backbone("resnet18", last_stride=2)
    load_imagenet_weights(backbone)
    assert asked == [("ResNet18_Weights.IMAGENET1K_V1", True)]
    assert torch.equal(backbone.stages[0].conv1.weight, resnet18.conv1.weight)


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", bytes(100_000)])
def test_damaged_file_in_torchs_cache_is_named(content, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ConnectionError) as refusal:
        load_imagenet_weights(build_backbone("resnet18", last_stride=2))
    assert str(path) in str(refusal.value) and "delete it" in str(refusal.value)


def test_nobody_is_told_to_load_what_may_run_code(tmp_path):
    path = tmp_path / "objects.pth"
    torch.save({"weights": Path("/")}, path)
    with pytest.raises(ValueError, match="other objects than tensors") as refusal:
        load_weights_file(build_backbone("resnet18", last_stride=2), path, sha256=sha256(path))
    assert "weights_only" not in str(refusal.value)


@pytest.mark.parametrize("name", NAMES)
def test_failed_download_says_what_to_do(name, monkeypatch):
    def get_state_dict(weights, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    with torch.device("meta"):
        backbone = build_backbone(name, last_stride=2)
    with pytest.raises(
        ConnectionError,
        match=rf"weights of {name} from https://.*{name}.*no route.*path and sha256",
    ):
        load_imagenet_weights(backbone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage", "last_stride"),
    [
        ("resnet18", 3, 2), ("resnet18", 4, 2), ("resnet18", 4, 1), ("mobilenet_v2", 3, 2),
        ("mobilenet_v2", 4, 2), ("inception_v3", 3, 2), ("inception_v3", 4, 2),
    ],
)  # fmt: skip
def test_cells_lie_where_their_receptive_fields_have_their_centres(
    name, stage, last_stride, monkeypatch
):
    monkeypatch.setattr("torch.nn.functional.max_pool2d", nn.functional.avg_pool2d)
    backbone = build_backbone(name, last_stride=last_stride).eval()
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                # Of its size: what a deep stack of ones makes would not be finite.
                module.weight.fill_(1 / module.weight[0].numel())
                if module.bias is not None:
                    module.bias.zero_()
    # High enough for the middle cell to see no border, and averages in place of maxima, which
    # equal pixels would share by chance.
    height, width = 1600, 96
    # Of a size that no ReLU6 cuts, through all the sums of shortcuts.
    size = 1.0 if name == "inception_v3" else 1e-3
    image = torch.full((1, 3, height, width), size, requires_grad=True)
    maps = image
    for part in backbone.stages[:stage]:
        maps = without_maxima(part)(maps)
    middle = maps.shape[-2] // 2
    maps[0, :, middle].sum().backward()
    weight = image.grad.abs().sum((0, 1, 3)).double()
    seen = (weight * torch.arange(height)).sum() / weight.sum()
    rows, columns = backbone.cell_centres(height, width, stage=stage)
    assert (len(rows), len(columns)) == maps.shape[-2:]
    assert seen.item() == pytest.approx(rows[middle], abs=0.05)


def without_maxima(part):
    for module in part.modules():
        for child, inner in module.named_children():
            if isinstance(inner, nn.MaxPool2d):
                sizes = inner.kernel_size, inner.stride, inner.padding
                setattr(module, child, nn.AvgPool2d(*sizes))
    return part
