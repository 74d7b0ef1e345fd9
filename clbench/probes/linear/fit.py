"""Linear probes: what a linear classifier reads off the frozen features of every tap."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.probes.features import capture
from clbench.probes.interface import Labelled
from clbench.probes.layers import Tap, find_taps
from clbench.probes.linear.pooling import (
    DEFAULT_EXTENT,
    EXTENTS,
    AveragedOver,
    Extent,
    Positions,
    grid_of,
    positions_of,
)
from clbench.probes.linear.solver import Rows, fit_logistic, why_unfit
from clbench.probes.linear.truncated import UpTo
from clbench.probes.similarity.hsic import NO_TENSOR
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.estimate import Estimate, proportion, undefined
from clbench.schema.names import look_up

BATCH = 128
"""Images that go through a network at once."""

_TRIED = 2  # images that show what passes the taps


class ProbedNetwork(nn.Module):
    """Images to the logits of a probe: features of a tap, averaged, and a linear layer.

    The layer holds the standardisation of the features too. That subtracts numbers of similar size,
    so it is in double precision.
    """

    def __init__(self, up_to: UpTo, averages: AveragedOver, layer: nn.Linear) -> None:
        super().__init__()
        self.up_to = up_to
        self.averages = averages
        self.layer = layer

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits, in single precision."""
        features: Tensor = self.averages(self.up_to(images))
        logits: Tensor = self.layer(features.double())
        return logits.float()

    def folded(self) -> "ProbedNetwork":
        """Return an equal network in eval mode that is faster to attack, where there is one."""
        return ProbedNetwork(self.up_to.folded(), self.averages, self.layer).eval()


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A linear classifier on the features of one tap, and how it came about.

    ``network`` takes images to logits, through the probed network up to the tap, so that it can be
    attacked end to end; it is None where ``reason`` says why nothing was fitted. Features of
    ``positions`` (height and width, number of tokens, or none) were averaged over a ``grid``, which
    leaves ``n_features``. ``strength`` is the penalty that was chosen on the validation images, and
    ``converged`` says whether the solver came to its end with it.
    """

    tap: str
    extent: str
    validation_acc: Estimate
    reason: str = ""
    network: ProbedNetwork | None = None
    positions: Positions = ()
    grid: Positions = ()
    n_features: int = 0
    strength: float = math.nan
    converged: bool = False


def fit_probes(
    network: nn.Module,
    train: Labelled,
    validation: Labelled,
    taps: Mapping[str, Tap] | None = None,
    *,
    extent: str = DEFAULT_EXTENT,
    seed: int,
    device: torch.device,
    batch_size: int = BATCH,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[FittedProbe, ...]:
    """Return a linear classifier on the features of every tap, in the order of execution.

    It is multinomial logistic regression on standardised features of clean images. One tap is dealt
    with at a time, and the network is run no further than there, so that the features of one tap
    are all that must fit into memory.

    Args:
        network: Where ``device`` is; left as found.
        train: What the classifiers are fitted on; some thousands of images are enough.
        validation: What the strength of the penalty is chosen on, for every tap on its own.
        taps: Those of ``find_taps`` where none are given; ``select_taps`` finds others. A tap that
            is passed several times is probed at every pass.
        extent: A name in ``EXTENTS``: how much features keep of the place in the image.
        seed: For networks that draw random numbers.
        device: Where the images are moved to. The solver works on the CPU.
        batch_size: Images that go through the network at once.
        on_progress: Told after every tap how many are done, and how many there are.

    Returns:
        One for every tap. It has a reason instead of a network where features do not vary or are
        not finite, no tensor passes, all images to fit on are of one class, or there are fewer than
        four to fit on or to choose by.

    Raises:
        UnknownNameError: There is no such extent.
        ModelError: Only some of the images pass a tap.

    Source:
        Alain and Bengio, 2016, arXiv:1610.01644 (linear classifiers on intermediate features).
    """
    fitting = _Fitting(
        look_up(EXTENTS, extent, "extent"), train, validation, device=device, batch_size=batch_size
    )
    places, probes = taps or find_taps(network), []
    with left_as_found(network, seed=seed), exact_arithmetic(), torch.no_grad():
        with capture(network, places, torch.clone) as features_of:
            seen = features_of(train.images[:_TRIED].to(device))
        names = [*seen, *(name for name in places if name not in seen)]
        for name in names:
            probes.append(
                fitting.fit(name, UpTo(network, *_passing(name, places)), seen[name])
                if name in seen
                else fitting.unfit(name, NO_TENSOR)
            )
            on_progress(len(probes), len(names))
    return tuple(probes)


def run_through(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    *,
    device: torch.device,
    batch_size: int,
) -> Float[Tensor, "n d"]:
    """Return on the CPU what ``network`` makes of images on any device, without gradients."""
    with torch.no_grad():
        parts = [network(part.to(device)).cpu() for part in torch.split(images, batch_size)]
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class _Fitting:
    """What all probes of one call share."""

    extent: Extent
    train: Labelled
    validation: Labelled
    device: torch.device
    batch_size: int

    def fit(self, name: str, up_to: UpTo, sample: Float[Tensor, " n *shape"]) -> FittedProbe:
        """Return the probe of a tap; ``sample`` is what a few images look like there."""
        grid = grid_of(self.extent, sample)
        averages = AveragedOver(grid)
        features = nn.Sequential(up_to, averages)
        train, validation = self._rows(features, self.train), self._rows(features, self.validation)
        if reason := why_unfit(train, validation):
            return self.unfit(name, reason)
        fit = fit_logistic(train, validation)
        return FittedProbe(
            name,
            self.extent.name,
            proportion(_validation_acc(name), fit.validation_right, len(validation.y)),
            network=ProbedNetwork(up_to, averages, fit.layer.module().to(self.device)),
            positions=positions_of(sample),
            grid=grid,
            n_features=train.x.shape[1],
            strength=fit.strength,
            converged=fit.converged,
        )

    def unfit(self, name: str, reason: str) -> FittedProbe:
        """Return the probe of a tap where nothing can be fitted."""
        nothing = undefined(_validation_acc(name), len(self.validation.labels), reason)
        return FittedProbe(name, self.extent.name, nothing, reason)

    def _rows(self, features: nn.Module, examples: Labelled) -> Rows:
        x = run_through(features, examples.images, device=self.device, batch_size=self.batch_size)
        return Rows(x, examples.labels.cpu())


def _passing(name: str, places: Mapping[str, Tap]) -> tuple[Tap, int]:
    """Return the tap that ``capture`` means by ``name``, and which passing of it."""
    if name in places:
        return places[name], 1
    tap, _, passing = name.rpartition("#")
    return places[tap], int(passing)


def _validation_acc(tap: str) -> str:
    return f"probe_{tap}_validation"
