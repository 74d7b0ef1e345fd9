"""A network that is run only as far as a layer, with gradients."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.models.backbones.resnet import faster_equal
from clbench.probes.features import in_order
from clbench.probes.layers import Layer, find_layers
from clbench.schema.errors import ModelError


class UpTo(nn.Module):
    """The features of a network at one layer; what comes after it is not run.

    ``passing`` says which of several passes through the layer in one run is meant, counted from 1
    as ``capture`` counts them. The network has a hook only while it runs.
    """

    def __init__(self, network: nn.Module, layer: Layer, passing: int = 1) -> None:
        super().__init__()
        self.network = network
        self.layer = layer
        self.passing = passing

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n *shape"]:
        """Return the features, through which gradients flow where they are enabled.

        Raises:
            ModelError: These images do not pass the layer so often.
        """
        passes = 0
        if self.layer == Layer(self.network) and self.passing == 1:
            answer: Tensor = self.network(images)
            return answer

        def note(carried: object) -> None:
            nonlocal passes
            features = _features(carried, self.layer, len(images))
            if features is not None:
                passes += 1
                if passes == self.passing:
                    raise _ReachedError(features)

        with _hook(self.layer, note):
            try:
                self.network(images)
            except _ReachedError as reached:
                return reached.features
        raise ModelError(
            f"all images must pass a probed layer as often, which is {self.passing} or more, "
            f"got {passes}; leave this layer out"
        )

    def folded(self) -> "UpTo":
        """Return the same of the network's faster equal, or itself.

        Only what ``find_layers`` finds is the same place in both.
        """
        equal = faster_equal(self.network)
        places = find_layers(self.network)
        name = next((name for name, layer in places.items() if layer == self.layer), "")
        if equal is self.network or not name:
            return self
        return UpTo(equal, find_layers(equal)[name], self.passing)


class _ReachedError(Exception):
    """Ends a forward pass at the layer, and carries out what flows there."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


def _features(carried: object, layer: Layer, n_images: int) -> Tensor | None:
    if not isinstance(carried, Tensor) or not carried.is_floating_point():
        return None
    features = in_order(carried, layer)
    return features if features is not None and len(features) == n_images else None


def _hook(layer: Layer, note: Callable[[object], None]) -> RemovableHandle:
    def after(_module: nn.Module, _args: Any, out: object) -> None:  # noqa: ANN401 - as torch has it
        note(out)

    def before(_module: nn.Module, args: tuple[object, ...]) -> None:
        note(args[0] if args else None)

    if layer.side == "output":
        return layer.module.register_forward_hook(after)
    return layer.module.register_forward_pre_hook(before)
