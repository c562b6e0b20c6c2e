"""CMMANet: a backbone, a MAM behind some of its stages, average pooling, a classifier (Fig. 2)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from cmmanet.geometry import BackboneName
from cmmanet.model.attention import MultiAttention
from cmmanet.model.backbone import build_backbone

NeckName = Literal["none", "bnneck"]


class ClipOutput(NamedTuple):
    """What the network says of B clips of N frames, in floating types of at least float32.

    Logits alone have the type that autocast gives them.
    """

    features: Tensor  # [B, D], Eq. 5: before the neck, where there is one
    logits: Tensor  # [B, identities]
    log_attention: list[Tensor]  # [B, N, K, h, w] for each MAM, the shallowest first


class CMMANet(nn.Module):
    """Concentrated Multi-Grained Multi-Attention Network.

    The paper's network is `CMMANet("resnet50", identities, mam_after=(3, 4))`: at 256×128 its
    MAMs see 1024×16×8 and 2048×8×4, and the refined output of the first feeds stage 4.
    `mam_after=(4,)` is the single MAM, `mam_after=()` the baseline. Backbone weights are loaded by
    the caller, into `backbone`.

    The neck `bnneck` is none of the paper's (Luo et al., CVPRW 2019, "Bag of Tricks"): a batch
    normalisation of the clip's feature, without a shift, between it and a classifier without a
    bias. The triplet loss is for the feature before the neck, tests for the one behind it.
    """

    def __init__(
        self,
        backbone: BackboneName,
        identities: int,
        *,
        mam_after: Sequence[int],
        submodules: int = 4,
        hidden: int = 256,
        last_stride: int = 2,
        neck: NeckName = "none",
    ) -> None:
        super().__init__()
        if not set(mam_after) <= {1, 2, 3, 4} or len(set(mam_after)) < len(mam_after):
            raise ValueError(f"MAMs sit behind distinct stages from 1 to 4, not {list(mam_after)}")
        if neck not in get_args(NeckName):
            raise ValueError(f"no neck {neck!r}: there are {', '.join(get_args(NeckName))}")
        self.backbone = build_backbone(backbone, last_stride=last_stride)
        self.mams = nn.ModuleDict(
            {
                str(stage): MultiAttention(self.backbone.channels[stage - 1], submodules, hidden)
                for stage in sorted(mam_after)
            }
        )
        width = self.backbone.channels[-1]
        self.neck: nn.Module = nn.Identity()
        self.classifier = nn.Linear(width, identities, bias=neck == "none")
        if neck == "bnneck":
            self.neck = nn.BatchNorm1d(width)
            self.neck.bias.requires_grad_(False)
            nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, clips: Tensor) -> ClipOutput:
        """Features, logits and log-attention of clips [B, N, 3, H, W]."""
        batch, frames = clips.shape[:2]
        frame_features, log_attention = self._attend(clips.flatten(0, 1))
        features = frame_features.reshape(batch, frames, -1).mean(1)
        return ClipOutput(
            features,
            self.classifier(self.neck(features)),
            [maps.reshape(batch, frames, *maps.shape[1:]) for maps in log_attention],
        )

    def frame_features(self, frames: Tensor) -> Tensor:
        """Features [F, D] of single frames [F, 3, H, W], behind the neck; in evaluation mode.

        Eq. 5 is linear, so the mean over a clip's frames is the clip's feature: a tracklet embedded
        frame by frame serves every way of choosing its test frames. The neck is affine where its
        statistics are fixed, so that this holds behind it too.
        """
        features: Tensor = self.neck(self._attend(frames)[0])
        return features

    def _attend(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps, log_attention = frames, []
        for number, stage in enumerate(self.backbone.stages, start=1):
            maps = stage(maps)
            if str(number) in self.mams:
                # Autocast would round what the next stage reads, once for every convolution.
                rounded = maps.dtype if number < len(self.backbone.stages) else None
                maps, attention = self.mams[str(number)](maps, rounded)
                log_attention.append(attention)
        # Averages are taken in float32: distances are measured on them.
        precise = torch.promote_types(maps.dtype, torch.float32)
        return maps.mean((-2, -1), dtype=precise), log_attention
