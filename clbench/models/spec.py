"""What a zoo model is, as data: a row holds no code."""

from dataclasses import dataclass

from clbench.data.datasets import DATASETS
from clbench.data.interface import DatasetInfo
from clbench.schema.names import Scenario, Scheme


@dataclass(frozen=True)
class WeightsRow:
    """Where the weights of one training are, and how to know that they are those.

    ``file`` is a name, looked for in the package and then in the cache; ``url`` is where to fetch
    it from when it is in neither. ``training_seed`` and ``recipe_sha256`` are of the training that
    made them, "" where that is not known.
    """

    file: str
    sha256: str
    url: str = ""
    training_seed: str = ""
    recipe_sha256: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One model of the zoo: how it was trained, on what, and with which backbone."""

    scheme: Scheme
    scenario: Scenario
    dataset: str
    backbone: str
    weights: WeightsRow | None = None

    @property
    def name(self) -> str:
        """The name without the data set, such as ``simclr_at``."""
        return f"{self.scheme}_{self.scenario}"

    @property
    def full_name(self) -> str:
        """The name with the data set as its tag, such as ``simclr_at.digits``."""
        return f"{self.name}.{self.dataset}"

    @property
    def info(self) -> DatasetInfo:
        """Shape and number of classes of what the model looks at."""
        return DATASETS[self.dataset]

    @property
    def training_command(self) -> str:
        """The command that makes weights for this row."""
        return f"clbench train {self.name} --dataset {self.dataset} --out DIR"
