"""A step of CMMANet as one writes it down from the paper: what `train_step.py` is measured against.

float32, NCHW, a submodule for each k, K copies of the feature map, the triplet clip by clip.
"""

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from cmmanet.clips.normalise import MEAN, STD


class PlainAttention(nn.Module):
    """Eq. 1 to 4."""

    def __init__(self, channels: int, submodules: int, hidden: int) -> None:
        super().__init__()
        self.submodules = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1, bias=False)
            )
            for _ in range(submodules)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Refined features [F, D, h, w] and attention [F, K, h, w]."""
        responses = torch.cat([submodule(features) for submodule in self.submodules], 1)
        attention = responses.flatten(2).softmax(2).reshape(responses.shape)
        attended = torch.stack([a * features for a in attention.split(1, dim=1)])
        return features + attended.amax(0), attention


class PlainCMMANet(nn.Module):
    """A ResNet with a MAM behind its last two stages."""

    def __init__(self, backbone: str, identities: int, submodules: int, hidden: int) -> None:
        super().__init__()
        self.resnet = torchvision.models.get_model(backbone, weights=None)
        channels = self.resnet.fc.in_features
        self.resnet.fc = nn.Linear(channels, identities)
        self.mam3 = PlainAttention(channels // 2, submodules, hidden)
        self.mam4 = PlainAttention(channels, submodules, hidden)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Features, logits and attention of clips [B, N, 3, H, W]."""
        net = self.resnet
        x = net.maxpool(net.relu(net.bn1(net.conv1(clips.flatten(0, 1)))))
        x, attention3 = self.mam3(net.layer3(net.layer2(net.layer1(x))))
        x, attention4 = self.mam4(net.layer4(x))
        features = x.mean((2, 3)).reshape(*clips.shape[:2], -1).mean(1)
        return features, net.fc(features), [attention3, attention4]


def plain_loss(features: Tensor, logits: Tensor, attention: list[Tensor], labels: Tensor) -> Tensor:
    """The four losses with the weights 1, 1, 0.1 and 0.1."""
    loss = functional.cross_entropy(logits, labels)
    triplets = []
    for i, label in enumerate(labels):
        distances = [(features[i] - other).norm() for other in features]
        positive = [d for j, d in enumerate(distances) if labels[j] == label and j != i]
        negative = [d for j, d in enumerate(distances) if labels[j] != label]
        triplets.append((max(positive) - min(negative) + 0.3).clamp(min=0))
    loss = loss + torch.stack(triplets).mean()
    for a in attention:
        diversity, concentration = [], []
        for image in a:
            matrix = image.flatten(1)
            overlap = matrix.sqrt() @ matrix.sqrt().T
            identity = torch.eye(len(matrix), device=matrix.device)
            diversity.append((overlap - identity).square().sum())
            stripes = matrix.reshape(len(matrix), len(matrix), -1).sum(2)
            concentration.append(-stripes.diagonal().log().sum())
        loss = loss + 0.1 * torch.stack(diversity).mean() + 0.1 * torch.stack(concentration).mean()
    return loss


def plain_step(
    network: PlainCMMANet, optimiser: torch.optim.Optimizer, pixels: Tensor, labels: Tensor
) -> Tensor:
    """Forward, losses, backward and update from uint8 clips; gives the loss."""
    mean = torch.tensor(MEAN, device=pixels.device).reshape(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).reshape(3, 1, 1)
    clips = (pixels.float() / 255 - mean) / std
    loss = plain_loss(*network(clips), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()
