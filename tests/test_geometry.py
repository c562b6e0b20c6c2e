import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cmmanet
from cmmanet.geometry import check_stripes, edges_between, map_size
from cmmanet.model.backbone import build_backbone


@pytest.mark.parametrize(
    ("stage", "expected"), [(1, (64, 32)), (2, (32, 16)), (3, (16, 8)), (4, (8, 4))]
)
def test_the_papers_maps(stage, expected):
    assert map_size(256, 128, backbone="resnet50", stage=stage, last_stride=2) == expected


@pytest.mark.parametrize("last_stride", [1, 2])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_map_size_is_what_the_backbones_give(name, last_stride):
    with torch.device("meta"):
        backbone = build_backbone(name, last_stride=last_stride).eval()
    for height, width in [(256, 128), (128, 64), (96, 48), (160, 80), (111, 53), (33, 1)]:
        maps = torch.empty(1, 3, height, width, device="meta")
        for stage, channels in zip(range(1, 5), backbone.channels, strict=True):
            maps = backbone.stages[stage - 1](maps)
            size = map_size(height, width, backbone=name, stage=stage, last_stride=last_stride)
            assert maps.shape == (1, channels, *size)


@pytest.fixture(scope="module")
def inception():
    with torch.device("meta"):
        return build_backbone("inception_v3", last_stride=2).eval()


def inception_maps(backbone, height, width):
    maps, sizes = torch.empty(1, 3, height, width, device="meta"), []
    for stage in backbone.stages:
        maps = stage(maps)
        sizes.append(tuple(maps.shape[-2:]))
    return sizes


def inception_sizes(height, width):
    return [
        map_size(height, width, backbone="inception_v3", stage=stage, last_stride=2)
        for stage in (1, 2, 3, 4)
    ]


def test_inceptions_maps():
    assert inception_sizes(256, 128) == [(62, 30), (29, 13), (14, 6), (6, 2)]
    # The sizes in the comments of torchvision's forward.
    assert inception_sizes(299, 299) == [(73, 73), (35, 35), (17, 17), (8, 8)]


@pytest.mark.slow
@given(height=st.integers(75, 400), width=st.integers(75, 400))
@settings(max_examples=25, deadline=None)
def test_map_size_is_what_inception_gives(inception, height, width):
    assert inception_sizes(height, width) == inception_maps(inception, height, width)


def test_inceptions_maps_of_every_size_that_params_allow():
    # (kernel, stride) of all that is not padded, counted out: the places where a kernel fits.
    stages = [[(3, 2), (3, 1), (3, 2)], [(3, 1), (3, 2)], [(3, 2)], [(3, 2)]]
    for side in range(75, 1025):
        left = side
        for kernels, size in zip(stages, inception_sizes(side, side), strict=True):
            for kernel, stride in kernels:
                left = len(range(0, left - kernel + 1, stride))
            assert size == (left, left)


def test_the_smallest_image_of_inception(inception):
    assert inception_maps(inception, 75, 75)[-1] == (1, 1) == inception_sizes(75, 75)[-1]
    for height, width in [(74, 128), (128, 74)]:
        with pytest.raises(RuntimeError):
            inception_maps(inception, height, width)
        for stage in (1, 4):
            with pytest.raises(ValueError, match=f"^{height}×{width} images are too small for inc"):
                map_size(height, width, backbone="inception_v3", stage=stage, last_stride=2)


def test_map_size_refuses_what_no_backbone_has():
    with pytest.raises(ValueError, match="no stage 5"):
        map_size(256, 128, backbone="resnet50", stage=5, last_stride=2)
    with pytest.raises(ValueError, match="1 or 2, not 4"):
        map_size(256, 128, backbone="resnet50", stage=4, last_stride=4)
    with pytest.raises(
        ValueError, match=r"no backbone 'vgg16': there are resnet18, .*, inception_"
    ):
        map_size(256, 128, backbone="vgg16", stage=4, last_stride=2)


def test_inception_without_mams_is_checked_as_well():
    refused = partial(check_stripes, backbone="inception_v3", mam_after=(), submodules=4)
    with pytest.raises(ValueError, match="inception_v3 cannot have a last stride of 1, only 2"):
        refused(256, 128, last_stride=1)
    with pytest.raises(ValueError, match="have to be at least 75"):
        refused(128, 64, last_stride=2)


def test_check_stripes():
    check = partial(check_stripes, backbone="resnet50")
    check(256, 128, mam_after=(3, 4), submodules=4, last_stride=2)
    check(96, 48, mam_after=(3,), submodules=6, last_stride=2)
    check(96, 48, mam_after=(), submodules=5, last_stride=2)
    with pytest.raises(
        ValueError, match=r"4 attention submodules cannot share the 3×2 map behind stage 4 \(96×48"
    ):
        check(96, 48, mam_after=(4,), submodules=4, last_stride=2)
    check(96, 48, mam_after=(3, 4), submodules=3, last_stride=1)


def test_check_stripes_of_inception():
    check = partial(check_stripes, 256, 128, backbone="inception_v3", last_stride=2)
    check(mam_after=(3, 4), submodules=4)  # of 3½ rows and of 1½
    with pytest.raises(ValueError, match=r"share the 14×6 map behind stage 3 .* divide 84"):
        check(mam_after=(3, 4), submodules=5)
    with pytest.raises(ValueError, match=r"share the 6×2 map behind stage 4 .* divide 12"):
        check(mam_after=(3, 4), submodules=7)


def test_every_pixel_is_its_nearest_centres():
    centres = [5.0, 21.0, 37.0]
    edges = edges_between(centres, 48)
    for pixel in range(48):
        nearest = min(range(3), key=lambda cell: abs(centres[cell] - pixel))
        cell = sum(edge <= pixel + 0.5 for edge in edges[1:-1])
        assert abs(centres[cell] - pixel) == abs(centres[nearest] - pixel)
    assert (edges[0], edges[-1]) == (0, 48)


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
