"""Pre-activation ResNets for small images, as trainings of robust networks have them.

Shapes are told in words, as checks of them would disturb the graph that a network is traced to.
"""

from typing import Literal

import torch.nn.functional
from torch import Tensor, nn

ShortcutOf = Literal["activated", "input"]
"""What the convolution of a shortcut sees; implementations differ, and weights do not tell."""


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after its batch norm and ReLU, and a shortcut around them."""

    def __init__(self, in_channels: int, channels: int, stride: int, of: ShortcutOf) -> None:
        super().__init__()
        self.of = of
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False))
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features [n, d, i, j] of images [n, c, h, w]."""
        activated = torch.nn.functional.relu(self.bn1(x))
        kept: Tensor = x
        if self.downsample is not None:
            kept = self.downsample(activated if self.of == "activated" else x)
        inner = self.conv1(activated)
        out: Tensor = self.conv2(torch.nn.functional.relu(self.bn2(inner))) + kept
        return out


class PreActResNet(nn.Module):
    """A pre-activation ResNet whose stem is one 3x3 convolution of stride 1, without pooling.

    Inputs are as it was trained, outputs raw logits; with ``num_classes=0``, features.

    Args:
        layers: Blocks of each stage.
        width: Channels after the stem, twice as many in each further stage.
        num_classes: Outputs; 0 leaves the classifier out.
        in_chans: Channels of an image.
        shortcut_of: What shortcuts with a convolution begin at: the block's input after its first
            batch norm and ReLU, as in the paper, or the input itself.
        final_norm: Whether a batch norm and a ReLU stand before the pooling, as in the paper.

    Source:
        He et al., 2016, arXiv:1603.05027, Section 3 and Appendix.
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        width: int = 64,
        num_classes: int = 10,
        in_chans: int = 3,
        *,
        shortcut_of: ShortcutOf = "activated",
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        before, self.num_stages = width, len(layers)
        for stage, n_blocks in enumerate(layers):
            channels = width * 2**stage
            blocks = []
            for k in range(n_blocks):
                stride = 2 if stage and not k else 1
                blocks.append(PreActBlock(before, channels, stride, shortcut_of))
                before = channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_features, self.num_classes = before, num_classes
        self.bn = nn.BatchNorm2d(before) if final_norm else nn.Identity()
        self.act = nn.ReLU() if final_norm else nn.Identity()
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(before, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, k] of images [n, c, h, w], or features where there is no classifier."""
        x = self.conv1(x)
        for stage in range(self.num_stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        logits: Tensor = self.fc(self.global_pool(self.act(self.bn(x))))
        return logits
