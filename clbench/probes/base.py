"""What a probe is, and the table of all probes that add columns to an evaluation.

A new probe is a new file with one function and the names of its columns, and one row below.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.measure import Measure
from clbench.probes import clean_adversarial
from clbench.probes.clean_adversarial import clean_adversarial_cka


@runtime_checkable
class Probe(Protocol):
    """Describes a network by what it makes of clean images and of their adversarial versions.

    Both tensors hold the same examples in the same order. The network is on ``device`` and is left
    as found: parameters, gradients, buffers, modes and hooks. A quantity that is undefined is a
    measure with a reason, never an exception.
    """

    def __call__(
        self,
        network: nn.Module,
        clean: Float[Tensor, "n c h w"],
        adversarial: Float[Tensor, "n c h w"],
        *,
        device: torch.device,
    ) -> list[Measure]:
        """Return one measure for each column of the probe, in that order."""
        ...


class ProbeRow(NamedTuple):
    """A probe and the names of its columns, in order."""

    name: str
    probe: Probe
    columns: tuple[str, ...]


PROBES: dict[str, ProbeRow] = {
    row.name: row
    for row in (
        ProbeRow("clean-adversarial-cka", clean_adversarial_cka, clean_adversarial.COLUMNS),
    )
}
"""All probes, in the order of their columns."""
