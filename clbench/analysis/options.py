"""What a user asked ``clbench probe`` for, and what can be told of it before it is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from clbench.analysis.comparisons import COMPARISONS, any_attacked
from clbench.data.load import Data
from clbench.evaluation.perturb import PROBE_ATTACK, QUICK_ATTACK
from clbench.models.preprocessing import Preprocessing
from clbench.probes.linear.pooling import DEFAULT_POOLING, POOLINGS
from clbench.probes.similarity.estimators import Estimator, check_shuffles, find_estimator
from clbench.probes.similarity.measures import find_measure
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.numbers import LARGEST_COUNT, whole
from clbench.schema.protocol import Protocol, resolve

DEFAULT_STEPS, QUICK_STEPS = PROBE_ATTACK.steps, QUICK_ATTACK.steps
"""Steps of the attack, and of a shorter one that comes before it; as for the CKA columns."""

DEFAULT_PERMUTATIONS = 1000
"""Other orders of the examples that tell what chance alone gives, where Gram matrices are kept."""

UNATTACKED = "0"
"""The eps of images that nobody needs to name one for, as only clean ones are compared."""


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What a user asked for, as given to ``compare_models``."""

    models: Sequence[str | Path | nn.Module] | Mapping[str, str | Path | nn.Module]
    protocol: str | None = None
    data: Data | None = None
    data_dir: Path | None = None
    download: bool = False
    preprocessing: Preprocessing | None = None
    norm: str | None = None
    output: Sequence[str] = ()
    eps: str | None = None
    n_examples: int | None = None
    comparisons: Sequence[str] = ()
    common: str = ""
    layers: Sequence[str] = ()
    measure: str = "cka"
    estimator: str = ""
    permutations: int | None = None
    linear_probes: bool = False
    train_data: Sequence[Path] = ()
    pooling: str = DEFAULT_POOLING
    attack_steps: int = DEFAULT_STEPS
    device: str = "auto"
    seed: int | None = None

    @property
    def own_data(self) -> bool:
        """Whether the images are not a protocol's."""
        return self.data is not None

    @property
    def _attacks(self) -> bool:
        """Whether adversarial images are asked for."""
        return self.linear_probes or any_attacked(self.comparisons)

    @property
    def settled(self) -> Protocol:
        """The protocol that was asked for, changed where a value is given by hand."""
        return resolve(
            self.protocol,
            own_data=self.own_data,
            norm=self.norm,
            eps=self.eps if self.eps or not self.own_data or self._attacks else UNATTACKED,
            n_examples=self.n_examples,
            seed=self.seed,
        )


def check_options(options: ProbeOptions) -> None:
    """Find out before anything is loaded what can be found out by then."""
    if not options.models:
        raise BadValueError("give --model at least once, got none")
    whole("--attack-steps", options.attack_steps, 1, LARGEST_COUNT)
    for comparison in options.comparisons:
        look_up(COMPARISONS, comparison, "comparison")
    estimator = find_estimator(find_measure(options.measure), options.estimator)
    check_shuffles(estimator, settled_permutations(options.permutations, estimator))
    look_up(POOLINGS, options.pooling, "pooling")


def settled_permutations(asked: int | None, estimator: Estimator) -> int:
    """Return how many there are: by default as many as cost less than the features."""
    if asked is None:
        return DEFAULT_PERMUTATIONS if estimator.averages else 0
    return whole("--permutations", asked, 0, LARGEST_COUNT)
