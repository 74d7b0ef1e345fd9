"""ResNets for small images: timm's own network with a stem that keeps the resolution."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from clbench.models.bn_folding import fold
from clbench.models.checkpoints.fill import fill
from clbench.models.weights import read_weights
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up

_STEM_REDUCTION = 4
"""What timm's stem takes away in height and width, and ours does not."""


class CifarResNet(ResNet):  # type: ignore[misc] # timm has no types
    """A ResNet whose stem is one 3x3 convolution of stride 1, without pooling.

    The first two feature maps have the size of the image, then each stage halves it. Inputs are in
    [0, 1] without any normalisation, outputs are raw logits.

    Other projects pad their stem by 2 (``stem_padding``), which makes these maps larger by 2, or
    leave out the ReLU after it (``stem_relu``).

    Source:
        He et al., 2016, arXiv:1512.03385, Section 4.2 (the stem for 32x32 images).
    """

    def __init__(
        self,
        block: type[nn.Module],
        layers: tuple[int, ...],
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 64,
        *,
        stem_padding: int = 1,
        stem_relu: bool = True,
        **options: Any,  # noqa: ANN401 - timm's own, which differ between its versions
    ) -> None:
        if width <= 0 or width % 2:
            raise BadValueError(f"width must be an even number of channels, got {width}")
        super().__init__(
            block,
            layers,
            num_classes=num_classes,
            in_chans=in_chans,
            channels=tuple(width * 2**stage for stage in range(len(layers))),
            # timm's plain stem always has 64 channels, only a deep one can be narrower
            stem_type="deep",
            stem_width=width // 2,
            **options,
        )
        self.in_chans = in_chans
        self.conv1 = _stem(in_chans, width, stem_padding, like=self.bn1.weight)
        if not stem_relu:
            self.act1 = nn.Identity()
        self.maxpool = nn.Identity()
        for info in self.feature_info:
            info["reduction"] = max(1, info["reduction"] // _STEM_REDUCTION)

    def folded(self) -> "CifarResNet":
        """Return an equal network in eval mode that is faster to attack.

        See ``clbench.models.fold``.
        """
        folded = fold(self)
        assert isinstance(folded, CifarResNet), "a copy is of the same class"
        return folded

    def load_pretrained(self, checkpoint_path: str | Path) -> None:
        """Fill the network from a safetensors file; timm calls this for ``custom_load`` weights.

        A classifier or input of another width than the weights were trained with, asked for by
        hand, follows timm's custom: the classifier starts anew, and the first convolution is
        adapted so that a grey image gives the same features. All else must fit exactly.

        Raises:
            WeightsError: The file is missing, damaged, or of another network.
        """
        path = Path(checkpoint_path)
        weights = read_weights(path)
        trained = getattr(self, "pretrained_cfg", {})
        if trained.get("num_classes", self.num_classes) != self.num_classes:
            head = {f"fc.{key}": value for key, value in self.fc.state_dict().items()}
            weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
            weights |= head
        if trained.get("input_size", (self.in_chans,))[0] != self.in_chans:
            weights["conv1.weight"] = _spread(weights["conv1.weight"], self.in_chans)
        fill(self, weights, path)


def _stem(in_chans: int, width: int, padding: int, *, like: Tensor) -> nn.Conv2d:
    stem = nn.Conv2d(
        in_chans, width, 3, padding=padding, bias=False, device=like.device, dtype=like.dtype
    )
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


def _spread(weight: Tensor, in_chans: int) -> Tensor:
    """Return a first convolution for other inputs that sees a grey image as before."""
    return weight.float().sum(dim=1, keepdim=True).repeat(1, in_chans, 1, 1) / in_chans


@dataclass(frozen=True)
class Backbone:
    """The shape of one backbone; ``width`` is the number of channels after the stem."""

    block: type[nn.Module]
    layers: tuple[int, ...]
    width: int

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of ``CifarResNet`` that make it."""
        return {"block": self.block, "layers": self.layers, "width": self.width}


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(BasicBlock, (2, 2, 2, 2), 64),
    "resnet10_w16": Backbone(BasicBlock, (1, 1, 1, 1), 16),
    "resnet18_w16": Backbone(BasicBlock, (2, 2, 2, 2), 16),
    "resnet50": Backbone(Bottleneck, (3, 4, 6, 3), 64),
}


def build_backbone(name: str, in_chans: int, num_classes: int) -> CifarResNet:
    """Return a freshly initialised network; ``num_classes=0`` leaves the classifier out.

    The initial weights are drawn from torch's global generator.

    Raises:
        UnknownNameError: There is no such backbone.

    >>> network = build_backbone("resnet18_w16", in_chans=1, num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    701178
    >>> [info["reduction"] for info in network.feature_info]
    [1, 1, 2, 4, 8]
    """
    row = look_up(BACKBONES, name, "backbone")
    return CifarResNet(in_chans=in_chans, num_classes=num_classes, **row.options)


def faster_equal(network: nn.Module) -> nn.Module:
    """Return the folded equal of one of clbench's networks in eval mode, else the network itself.

    Others may have a method ``folded`` that means something else.
    """
    if isinstance(network, CifarResNet) and not network.training:
        return network.folded()
    return network
