"""Linear probes: what a linear classifier reads off the frozen features of every layer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.data.image_set import ImageSet
from clbench.data.stored import Images, parts
from clbench.probes.features import capture, with_example_axes
from clbench.probes.layers import Layer, find_layers
from clbench.probes.linear.pooling import (
    DEFAULT_POOLING,
    POOLINGS,
    AveragedOver,
    Pooling,
    Positions,
    grid_of,
    positions_of,
)
from clbench.probes.linear.solver import Rows, fit_logistic, why_unfit
from clbench.probes.linear.truncated import UpTo
from clbench.probes.similarity.scores import NO_TENSOR
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.estimate import Estimate, proportion, undefined
from clbench.schema.names import look_up
from clbench.schema.progress import OnProgress, not_shown

BATCH = 128
"""Images that go through a network at once."""

_TRIED = 2  # images that show what passes the layers


class ProbedNetwork(nn.Module):
    """Images to the logits of a probe: features of a layer, averaged, and a linear classifier.

    The classifier holds the standardisation of the features too. That subtracts numbers of similar
    size, so it is in double precision.
    """

    def __init__(self, up_to: UpTo, averages: AveragedOver, classifier: nn.Linear) -> None:
        super().__init__()
        self.up_to = up_to
        self.averages = averages
        self.classifier = classifier

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits, in single precision."""
        features: Tensor = self.averages(self.up_to(images))
        logits: Tensor = self.classifier(features.double())
        return logits.float()

    def folded(self) -> "ProbedNetwork":
        """Return an equal network in eval mode that is faster to attack, where there is one."""
        return ProbedNetwork(self.up_to.folded(), self.averages, self.classifier).eval()


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A linear classifier on the features of one layer, and how it came about.

    ``network`` takes images to logits, through the probed network up to the layer, so that it can
    be attacked end to end; it is None where ``reason`` says why nothing was fitted. Features of
    ``positions`` (height and width, number of tokens, or none) were averaged over a ``grid``, which
    leaves ``n_features``. ``penalty`` is its weight that was chosen on the validation images, and
    ``converged`` says whether the solver came to its end with it.
    """

    layer: str
    pooling: str
    validation_acc: Estimate
    reason: str = ""
    network: ProbedNetwork | None = None
    positions: Positions = ()
    grid: Positions = ()
    n_features: int = 0
    penalty: float = math.nan
    converged: bool = False


def fit_probes(
    network: nn.Module,
    train: ImageSet,
    validation: ImageSet,
    *,
    layers: Mapping[str, Layer] | None = None,
    pooling: str = DEFAULT_POOLING,
    seed: int,
    device: torch.device,
    batch_size: int = BATCH,
    on_progress: OnProgress = not_shown,
) -> tuple[FittedProbe, ...]:
    """Return a linear classifier on the features of every layer, in the order of execution.

    It is multinomial logistic regression on standardised features of clean images. One layer is
    dealt with at a time, and the network is run no further than there, so that the features of one
    layer are all that must fit into memory.

    Args:
        network: Where ``device`` is; left as found.
        train: What the classifiers are fitted on; some thousands of images are enough.
        validation: What the penalty is chosen on, for every layer on its own.
        layers: Those of ``find_layers`` where none are given; ``select_layers`` finds others. A
            layer that is passed several times is probed at every pass.
        pooling: A name in ``POOLINGS``: how much features keep of the place in the image.
        seed: For networks that draw random numbers.
        device: Where the images are moved to. The solver works on the CPU.
        batch_size: Images that go through the network at once.
        on_progress: Told after every layer how many are done, and how many there are.

    Returns:
        One for every layer. It has a reason instead of a network where features do not vary or are
        not finite, no tensor passes, all images to fit on are of one class, or there are fewer than
        four to fit on or to choose by.

    Raises:
        UnknownNameError: There is no such pooling.
        ModelError: Only some of the images pass a layer.

    Source:
        Alain and Bengio, 2016, arXiv:1610.01644 (linear classifiers on intermediate features).
    """
    fitting = _Fitting(
        look_up(POOLINGS, pooling, "pooling"),
        train,
        validation,
        device=device,
        batch_size=batch_size,
    )
    probes: list[FittedProbe] = []
    with left_as_found(network, seed=seed), exact_arithmetic(), torch.no_grad():
        some = train.images[:_TRIED].to(device)
        places = with_example_axes(network, layers or find_layers(network), some)
        with capture(network, places, torch.clone) as features_of:
            seen = features_of(some)
        names = [*seen, *(name for name in places if name not in seen)]
        for name in names:
            probes.append(
                fitting.fit(name, _up_to(network, name, places), seen[name])
                if name in seen
                else fitting.unfit(name, NO_TENSOR)
            )
            on_progress("fitting linear probes", len(probes), len(names))
    return tuple(probes)


def run_through(
    network: nn.Module,
    images: Images,
    *,
    device: torch.device,
    batch_size: int,
) -> Float[Tensor, "n d"]:
    """Return on the CPU what ``network`` makes of images on any device, without gradients."""
    with torch.no_grad():
        seen = [network(part.to(device)).cpu() for part in parts(images, batch_size)]
    return torch.cat(seen)


@dataclass(frozen=True, eq=False)
class _Fitting:
    """What all probes of one call share."""

    pooling: Pooling
    train: ImageSet
    validation: ImageSet
    device: torch.device
    batch_size: int

    def fit(self, name: str, up_to: UpTo, sample: Float[Tensor, " n *shape"]) -> FittedProbe:
        """Return the probe of a layer; ``sample`` is what a few images look like there."""
        grid = grid_of(self.pooling, sample)
        averages = AveragedOver(grid)
        features = nn.Sequential(up_to, averages)
        train, validation = self._rows(features, self.train), self._rows(features, self.validation)
        if reason := why_unfit(train, validation):
            return self.unfit(name, reason)
        fit = fit_logistic(train, validation)
        return FittedProbe(
            name,
            self.pooling.name,
            proportion(_validation_acc(name), fit.validation_right, len(validation.y)),
            network=ProbedNetwork(up_to, averages, fit.classifier.module().to(self.device)),
            positions=positions_of(sample),
            grid=grid,
            n_features=train.x.shape[1],
            penalty=fit.penalty,
            converged=fit.converged,
        )

    def unfit(self, name: str, reason: str) -> FittedProbe:
        """Return the probe of a layer where nothing can be fitted."""
        nothing = undefined(_validation_acc(name), len(self.validation.labels), reason)
        return FittedProbe(name, self.pooling.name, nothing, reason)

    def _rows(self, features: nn.Module, examples: ImageSet) -> Rows:
        x = run_through(features, examples.images, device=self.device, batch_size=self.batch_size)
        return Rows(x, examples.labels.cpu())


def _up_to(network: nn.Module, name: str, places: Mapping[str, Layer]) -> UpTo:
    """Return the network up to the layer, and the passing of it, that ``capture`` calls so."""
    if name in places:
        return UpTo(network, places[name])
    layer, _, passing = name.rpartition("#")
    return UpTo(network, places[layer], int(passing))


def _validation_acc(layer: str) -> str:
    return f"probe_{layer}_validation"
