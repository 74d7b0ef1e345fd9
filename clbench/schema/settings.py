"""What evaluating a network and planning it have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from clbench.schema.paths import AnyPath


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A network, images, and how the one is attacked on the others: as given, not yet checked.

    ``clbench.evaluate`` tells what each means.
    """

    model: Any
    protocol: str | None
    data: Any
    data_dir: AnyPath | None
    download: bool
    weights: AnyPath | None
    mean: Any
    std: Any
    resize: int | None
    crop: int | None
    interpolation: str | None
    output: str | int | None
    norm: str | None
    eps: str | Fraction | None
    n_examples: int | None
    attack: str | None
    backend: str
    batch_size: int | str | None
    device: str
    precision: str
    seed: int | None

    @classmethod
    def among(cls, given: Mapping[str, Any]) -> "Settings":
        """Return those that are among the arguments of a function, by their names."""
        return cls(**{one.name: given[one.name] for one in fields(cls)})

    @property
    def seen(self) -> dict[str, Any]:
        """What is said of what stands before the network."""
        names = ("mean", "std", "resize", "crop", "interpolation")
        return {name: getattr(self, name) for name in names}
