"""Architectures as data: what a network is made of, built from a name and its options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import timm
import torchvision
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from clbench.models.backbones.preact_resnet import PreActResNet
from clbench.models.backbones.resnet import BACKBONES, CifarResNet
from clbench.models.backbones.wide_resnet import WideResNet
from clbench.schema.errors import ModelError, describe

CLASSES = "num_classes"
"""The option that says how many outputs there are, 0 for features."""


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    Attributes:
        family: A name of ``FAMILIES``.
        name: What it is called, such as ``resnet18`` or a name of timm or torchvision.
        options: What its family builds it from, as JSON can hold it.
    """

    family: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """Its name, with the package that it is of where that is another's.

        >>> Architecture("timm", "resnet50").called, Architecture("cifar", "resnet18").called
        ('timm:resnet50', 'resnet18')
        """
        return f"{self.family}:{self.name}" if self.family in PACKAGES else self.name

    def build(self) -> nn.Module:
        """Return the network, freshly initialised and in training mode.

        Raises:
            ModelError: It cannot be built with these options.
        """
        try:
            return FAMILIES[self.family](self.name, self.options)
        except KeyError as error:
            raise ModelError(
                f"architecture {self.called!r} is of a family that there is not: {self.family!r}; "
                f"known: {', '.join(FAMILIES)}"
            ) from error
        except Exception as error:
            raise ModelError(
                f"architecture {self.called!r} cannot be built with {self.options}: "
                f"{describe(error)}; name another one with --arch"
            ) from error


_BLOCKS: dict[str, type[nn.Module]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def _cifar(_name: str, options: Mapping[str, Any]) -> nn.Module:
    rest = {key: value for key, value in options.items() if key not in ("block", "layers")}
    return CifarResNet(_BLOCKS[options["block"]], tuple(options["layers"]), **rest)


def _preact(_name: str, options: Mapping[str, Any]) -> nn.Module:
    return PreActResNet(**{**options, "layers": tuple(options["layers"])})


def _wide(_name: str, options: Mapping[str, Any]) -> nn.Module:
    return WideResNet(**{**options, "layers": tuple(options["layers"])})


def _timm(name: str, options: Mapping[str, Any]) -> nn.Module:
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    return network


def _torchvision(name: str, options: Mapping[str, Any]) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


FAMILIES: dict[str, Callable[[str, Mapping[str, Any]], nn.Module]] = {
    "cifar": _cifar,
    "preact": _preact,
    "wide": _wide,
    "timm": _timm,
    "torchvision": _torchvision,
}
"""How the networks of each family are built."""

PACKAGES = ("timm", "torchvision")
"""Families whose names are those of a package."""


def named(name: str, num_classes: int, in_chans: int) -> list[Architecture]:
    """Return what a name may mean, the likeliest first; nothing where nothing has it.

    A name may say the package that it is of, as in ``timm:resnet50``.

    >>> [one.called for one in named("resnet18", 10, 3)]
    ['resnet18', 'timm:resnet18', 'torchvision:resnet18']
    """
    package, colon, rest = name.partition(":")
    found = []
    if name in BACKBONES:
        row = BACKBONES[name]
        block = next(key for key, kind in _BLOCKS.items() if kind is row.block)
        sizes = {"layers": list(row.layers), "width": row.width}
        both = {CLASSES: num_classes, "in_chans": in_chans}
        found.append(Architecture("cifar", name, {"block": block, **sizes, **both}))
    bare = rest if colon else name
    if (package == "timm" or not colon) and timm.is_model(bare):
        options = {CLASSES: num_classes, "in_chans": in_chans}
        found.append(Architecture("timm", bare, options))
    if (package == "torchvision" or not colon) and bare in torchvision.models.list_models():
        # torchvision's networks always have a classifier
        found.append(Architecture("torchvision", bare, {CLASSES: num_classes or 1}))
    return found


_PROBE, _COLOURS = 3, 3
"""Classes and channels of a network that is built to see where its classifier and its stem are."""

_IMAGES = 4
"""Dimensions of the weights of a convolution of images."""


def named_for(name: str, weights: Mapping[str, Tensor]) -> list[Architecture]:
    """Return what a name may mean, each with as many classes and channels as the weights have.

    Classes are 0 where they lack the classifier.
    """
    found = []
    for colours in named(name, _PROBE, _COLOURS):
        one = replace(colours, options=colours.options | _channels(colours, weights))
        own = _tensors(one)
        sizes = {
            len(weights[key])
            for key, value in own.items()
            if key in weights and value.ndim and len(value) == _PROBE
            if weights[key].shape[1:] == value.shape[1:]
        }
        n_classes = sizes.pop() if len(sizes) == 1 else 0
        others = {} if one.family == "torchvision" and not n_classes else {CLASSES: n_classes}
        found.append(replace(one, options=one.options | others))
    return found


def _tensors(one: Architecture) -> dict[str, Tensor]:
    return {k: v for k, v in one.build().state_dict().items() if isinstance(v, Tensor)}


def _channels(one: Architecture, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Return how many channels weights are for, by the layer that is the network's first.

    The file's own order tells nothing: safetensors has them by size.
    """
    first = next((key for key, own in _tensors(one).items() if own.ndim == _IMAGES), "")
    if "in_chans" not in one.options or first not in weights or weights[first].ndim != _IMAGES:
        return {}
    return {"in_chans": weights[first].shape[1]}
