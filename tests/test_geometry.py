import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cmmanet
from cmmanet.geometry import check_stripes, map_size
from cmmanet.model.backbone import build_backbone


@pytest.mark.parametrize(
    ("stage", "expected"), [(1, (64, 32)), (2, (32, 16)), (3, (16, 8)), (4, (8, 4))]
)
def test_the_papers_maps(stage, expected):
    assert map_size(256, 128, stage=stage, last_stride=2) == expected


@pytest.mark.parametrize("last_stride", [1, 2])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_map_size_is_what_the_backbones_give(name, last_stride):
    with torch.device("meta"):
        backbone = build_backbone(name, last_stride=last_stride).eval()
    for height, width in [(256, 128), (128, 64), (96, 48), (160, 80), (111, 53), (33, 1)]:
        maps = torch.empty(1, 3, height, width, device="meta")
        for stage, channels in zip(range(1, 5), backbone.channels, strict=True):
            maps = backbone.stages[stage - 1](maps)
            size = map_size(height, width, stage=stage, last_stride=last_stride)
            assert maps.shape == (1, channels, *size)


def test_map_size_refuses_what_no_backbone_has():
    with pytest.raises(ValueError, match="no stage 5"):
        map_size(256, 128, stage=5, last_stride=2)
    with pytest.raises(ValueError, match="1 or 2, not 4"):
        map_size(256, 128, stage=4, last_stride=4)


def test_check_stripes():
    check_stripes(256, 128, mam_after=(3, 4), submodules=4, last_stride=2)
    check_stripes(96, 48, mam_after=(3,), submodules=6, last_stride=2)
    check_stripes(96, 48, mam_after=(), submodules=5, last_stride=2)
    with pytest.raises(
        ValueError, match=r"4 attention submodules cannot share the 3×2 map behind stage 4 \(96×48"
    ):
        check_stripes(96, 48, mam_after=(4,), submodules=4, last_stride=2)
    check_stripes(96, 48, mam_after=(3, 4), submodules=3, last_stride=1)


def test_geometry_does_not_import_torch():
    source = str(Path(cmmanet.__file__).parents[1])
    code = "import sys, cmmanet.geometry; assert 'torch' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": source}, check=True
    )


def test_the_package_gives_the_network_and_nothing_else():
    import cmmanet.model
    from cmmanet.model.network import CMMANet

    assert cmmanet.model.CMMANet is CMMANet
    with pytest.raises(AttributeError, match="no attribute 'CMANet'"):
        _ = cmmanet.model.CMANet
