"""Wide ResNets, as trainings of robust networks have them.

Shapes are told in words, as checks of them would disturb the graph that a network is traced to.
"""

import torch.nn.functional
from torch import Tensor, nn


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after its batch norm and ReLU, and a shortcut around them.

    A shortcut with a convolution begins after the first batch norm and ReLU.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convShortcut = (
            nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            if in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features [n, d, i, j] of images [n, c, h, w]."""
        activated = torch.nn.functional.relu(self.bn1(x))
        kept = x if self.convShortcut is None else self.convShortcut(activated)
        inner = self.conv1(activated)
        out: Tensor = self.conv2(torch.nn.functional.relu(self.bn2(inner))) + kept
        return out


class _Stage(nn.Module):
    """The blocks of a stage, under the name that checkpoints have them by."""

    def __init__(self, blocks: list[WideBlock]) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """A wide ResNet of three stages for images of 32x32.

    Inputs are as it was trained, outputs raw logits; with ``num_classes=0``, features.

    Args:
        layers: Blocks of each stage; (5, 5, 5) in a WRN-34.
        width: Channels of the first stage, twice as many in each further one.
        stem: Channels after the first convolution.
        num_classes: Outputs; 0 leaves the classifier out.
        in_chans: Channels of an image.
        bias: Whether the classifier has one.

    Source:
        Zagoruyko and Komodakis, 2016, arXiv:1605.07146, Table 1.
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        width: int,
        stem: int = 16,
        num_classes: int = 10,
        in_chans: int = 3,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, stem, 3, padding=1, bias=False)
        before, self.num_stages = stem, len(layers)
        for stage, n_blocks in enumerate(layers):
            channels = width * 2**stage
            blocks = []
            for k in range(n_blocks):
                blocks.append(WideBlock(before, channels, 2 if stage and not k else 1))
                before = channels
            self.add_module(f"block{stage + 1}", _Stage(blocks))
        self.num_features, self.num_classes = before, num_classes
        self.bn1 = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(before, num_classes, bias=bias) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, k] of images [n, c, h, w], or features where there is no classifier."""
        x = self.conv1(x)
        for stage in range(self.num_stages):
            x = self.get_submodule(f"block{stage + 1}")(x)
        logits: Tensor = self.fc(self.global_pool(self.relu(self.bn1(x))))
        return logits
