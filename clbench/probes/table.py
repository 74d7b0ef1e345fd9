"""What a probe is, and the table of all probes that add columns to an evaluation.

A new probe is a new file with one function and the names of its columns, and one row below.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from clbench.data.image_set import ImageSet
from clbench.evaluation.perturb import PROBE_ATTACK, QUICK_ATTACK, perturb
from clbench.evaluation.session import Session
from clbench.probes.clean_adversarial import clean_adversarial_columns
from clbench.probes.interface import Probed
from clbench.probes.linear.score import linear_probe_columns
from clbench.schema.estimate import Estimate, undefined
from clbench.schema.flags import NO_DERIVATIVE
from clbench.schema.progress import OnProgress, not_shown
from clbench.schema.records import (
    CKA_COLUMNS,
    LINEAR_PROBE_COLUMNS,
    NO_GRADIENT,
    EvaluationRecord,
)


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


def probes_to_run(known: EvaluationRecord | None, *, cka: bool, linear: bool) -> list[ProbeRow]:
    """Return the probes that are asked for and that a known record has no columns of."""
    wanted = (row for row in PROBES.values() if (linear if row.on_request else cka))
    return [row for row in wanted if known is None or known.measure(row.columns[0]) is None]


def run_probes(
    rows: Sequence[ProbeRow],
    session: Session,
    *,
    training: tuple[ImageSet, ImageSet] | None,
    on_progress: OnProgress | None,
) -> tuple[Estimate, ...]:
    """Return the columns of some probes for the model and the images of an evaluation.

    Those of a network without a gradient are undefined: what the probes compare with clean images
    is made with one.
    """
    if NO_DERIVATIVE in (flag.name for flag in session.model.flags):
        n = len(session.images)
        return tuple(undefined(column, n, NO_GRADIENT) for row in rows for column in row.columns)
    if not rows:
        return ()
    tell = on_progress or not_shown
    adversarial = perturb(
        session.model.network,
        session.images,
        session.protocol.threat_model,
        seed=session.protocol.seed,
        batch_size=session.batch_size,
        device=session.device,
        on_progress=partial(tell, "attacking for the probes"),
        folder=session.folder,
    )
    probed = Probed(
        network=session.model.network,
        clean=session.images,
        adversarial=adversarial,
        device=session.device,
        threat_model=session.protocol.threat_model,
        attacks=(QUICK_ATTACK, PROBE_ATTACK),
        training=training,
        seed=session.protocol.seed,
        on_progress=tell,
    )
    return tuple(estimate for row in rows for estimate in row.probe(probed))
