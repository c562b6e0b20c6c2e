"""torchvision's classification networks, cut into four stages, and their ImageNet weights."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from cmmanet.clips.normalise import MEAN, STD
from cmmanet.geometry import BackboneName, cell_centres, check_backbone
from cmmanet.messages import first_line

# Channels behind each stage.
_CHANNELS: dict[str, tuple[int, ...]] = {
    "resnet18": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "mobilenet_v2": (24, 32, 96, 1280),
    "inception_v3": (64, 288, 768, 2048),
}

# torchvision's later weights (V2 for ResNet-50 and MobileNetV2, from longer training recipes of
# 2021) would flatter a network of 2020.
_IMAGENET = {
    "resnet18": "ResNet18_Weights.IMAGENET1K_V1",
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "mobilenet_v2": "MobileNet_V2_Weights.IMAGENET1K_V1",
    "inception_v3": "Inception_V3_Weights.IMAGENET1K_V1",
}

# Behind the maps; Inception's files hold an auxiliary one too.
_CLASSIFIERS = ("fc.", "classifier.", "AuxLogits.")

# The last module of each of Inception's stages.
_INCEPTION_ENDS = ("maxpool1", "Mixed_5d", "Mixed_6e", "Mixed_7c")


class InceptionInput(nn.Module):
    """ImageNet-normalised images [F, 3, H, W], as `normalise` gives them, to (x - 0.5) / 0.5.

    torchvision's Inception weights were trained elsewhere, on images normalised so. It stands in
    the network, with or without these weights, so that all backbones take the same images and
    weights loaded later meet what they were trained on; a network trained from scratch sees no
    more than another scale. The arithmetic is torchvision's `transform_input`, to the last bit.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Images [F, 3, H, W] to images [F, 3, H, W] of the same type."""
        channels = [
            images[:, c : c + 1] * (std / 0.5) + (mean - 0.5) / 0.5
            for c, (mean, std) in enumerate(zip(MEAN, STD, strict=True))
        ]
        return torch.cat(channels, 1)


class Backbone(nn.Module):
    """Four stages, at strides 4, 8, 16 and 32 of the image, to be run one after the other.

    `cmmanet.geometry` says how large their maps are, and where their cells lie.

    Within a stage, modules keep torchvision's names: a key of this module's state dict without
    its `stages.N.` is torchvision's key.
    """

    def __init__(self, name: BackboneName, stages: list[nn.Sequential], last_stride: int) -> None:
        super().__init__()
        self.name = name
        self.last_stride = last_stride
        self.channels = _CHANNELS[name]
        self.stages = nn.ModuleList(stages)

    def cell_centres(
        self, height: int, width: int, *, stage: int
    ) -> tuple[list[float], list[float]]:
        """As `cmmanet.geometry.cell_centres` of this backbone."""
        return cell_centres(
            height, width, backbone=self.name, stage=stage, last_stride=self.last_stride
        )


def build_backbone(name: BackboneName, *, last_stride: int) -> Backbone:
    """A backbone with torchvision's random initialisation.

    With a last stride of 1 the fourth stage keeps the map of the third (16×8 at 256×128).

    Raises:
        ValueError: for a backbone that there is not, or that cannot have this last stride.
    """
    check_backbone(name, last_stride=last_stride)
    # What Inception would default to, minus a classifier and a warning.
    options = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
    network = torchvision.models.get_model(name, weights=None, **options)
    if name == "mobilenet_v2":
        # Slices of a Sequential keep its names. Stages 1 to 3 end in a linear bottleneck: their
        # features can be negative.
        parts = (slice(0, 4), slice(4, 7), slice(7, 14), slice(14, 19))
        stages = [nn.Sequential(OrderedDict(features=network.features[part])) for part in parts]
    elif name == "inception_v3":
        stages = _inception_stages(network)
    else:
        stem = ("conv1", "bn1", "relu", "maxpool")
        names = ((*stem, "layer1"), ("layer2",), ("layer3",), ("layer4",))
        stages = [
            nn.Sequential(OrderedDict((child, getattr(network, child)) for child in children))
            for children in names
        ]

    if last_stride == 1:
        # The first block of the last stage, its shortcut included, is all that strides there.
        for module in stages[-1].modules():
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.stride = (1, 1)
    return Backbone(name, stages, last_stride)


def _inception_stages(network: nn.Module) -> list[nn.Sequential]:
    """Inception's modules up to the maps; torchvision made them in the order of its forward."""
    stages = [nn.Sequential(OrderedDict(transform_input=InceptionInput()))]
    for child, module in network.named_children():
        stages[-1].add_module(child, module)
        if child == _INCEPTION_ENDS[-1]:
            break
        if child in _INCEPTION_ENDS:
            stages.append(nn.Sequential())
    return stages


def load_imagenet_weights(backbone: Backbone) -> None:
    """Load torchvision's own ImageNet weights (IMAGENET1K_V1), downloaded once per machine.

    Raises:
        ConnectionError: if they cannot be downloaded, or the file in torch's cache is damaged.
    """
    weights = torchvision.models.get_weight(_IMAGENET[backbone.name])
    # torch checks what it downloads, and not what it finds.
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    digest = cached.stem.rpartition("-")[2]
    if cached.is_file() and not _sha256(cached.read_bytes()).startswith(digest):
        raise ConnectionError(
            f"{cached}: damaged, since its sha256 does not begin with {digest}: delete it, and run "
            "this again to download it"
        )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # a network, a disk or a broken cache fail in many ways
        raise ConnectionError(
            f"cannot get the ImageNet weights of {backbone.name} from {weights.url} "
            f"({first_line(error)}): fetch that file elsewhere, then give its path and sha256 "
            "as the weights"
        ) from error
    _load_torchvision_state(backbone, state, source=weights.url)


def load_weights_file(backbone: Backbone, path: Path, *, sha256: str) -> None:
    """Load a torchvision state dict from a `.safetensors`, `.pth` or `.pt` file.

    The file's hash is checked before anything in it is decoded. Classifiers in it are ignored;
    any other missing key, unexpected key or wrong shape raises ValueError.
    """
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ValueError(f"{path}: weights are a .safetensors, .pth or .pt file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    content = path.read_bytes()
    digest = _sha256(content)
    if digest != sha256.lower():
        raise ValueError(f"{path}: its sha256 is {digest}, not the {sha256} that was asked for")

    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle alone has half a dozen ways to fail on a broken file
        # Not torch's advice to load what may run code.
        reason = first_line(error).partition(". ")[0]
        raise ValueError(
            f"{path}: cannot be read as weights ({reason}): damaged, or with other objects than "
            "tensors in it"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: holds something other than a state dict of tensors")
    _load_torchvision_state(backbone, state, source=str(path))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _load_torchvision_state(backbone: Backbone, state: Mapping[str, Tensor], source: str) -> None:
    ours = backbone.state_dict()
    own_key = {key.split(".", 2)[2]: key for key in ours}
    given = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIERS)}

    # Files older than torch 0.4.1 have no batch counters; with a fixed momentum nothing reads them.
    missing = [k for k in own_key if k not in given and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own_key]
    wrong = [
        f"{key} is {list(value.shape)} and should be {list(ours[own_key[key]].shape)}"
        for key, value in given.items()
        if key in own_key and value.shape != ours[own_key[key]].shape
    ]
    offences = [
        f"{len(keys)} {what}, first {keys[0]}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of a wrong shape", wrong),
        )
        if keys
    ]
    if offences:
        raise ValueError(f"{source}: not weights of {backbone.name}: {'; '.join(offences)}")
    backbone.load_state_dict({own_key[key]: value for key, value in given.items()}, strict=False)
