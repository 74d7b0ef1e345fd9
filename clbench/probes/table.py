"""What a probe is, and the table of all probes that add columns to an evaluation.

A new probe is a new file with one function and the names of its columns, and one row below.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from clbench.probes.clean_adversarial import clean_adversarial_columns
from clbench.probes.interface import Probed
from clbench.probes.linear.score import LINEAR_PROBE_COLUMNS, linear_probe_columns
from clbench.schema.estimate import Estimate
from clbench.schema.records import CKA_COLUMNS


@runtime_checkable
class Probe(Protocol):
    """Describes a network by what it makes of clean images and of their adversarial versions.

    The network is left as found: parameters, gradients, buffers, modes and hooks. A quantity that
    is undefined is an estimate with a reason, never an exception.
    """

    def __call__(self, probed: Probed) -> list[Estimate]:
        """Return one estimate for each column of the probe, in that order."""
        ...


class ProbeRow(NamedTuple):
    """A probe and the names of its columns, in order.

    ``on_request`` is True for a probe that takes long, or needs more than the images of the test.
    """

    name: str
    probe: Probe
    columns: tuple[str, ...]
    on_request: bool = False


PROBES: dict[str, ProbeRow] = {
    row.name: row
    for row in (
        ProbeRow("clean-adversarial-cka", clean_adversarial_columns, CKA_COLUMNS),
        ProbeRow("linear-probes", linear_probe_columns, LINEAR_PROBE_COLUMNS, on_request=True),
    )
}
"""All probes, in the order of their columns."""
