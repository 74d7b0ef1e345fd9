"""From what attacks found to a record and its evidence."""

from dataclasses import replace

import numpy as np

from clbench.evaluation.evidence import Evidence
from clbench.evaluation.result import EvaluationResult
from clbench.schema.estimate import Estimate
from clbench.schema.flags import is_unreliable, merged
from clbench.schema.provenance import utc_now
from clbench.schema.records import Counts, EvaluationRecord


def finished(
    draft: EvaluationRecord, result: EvaluationResult, before: EvaluationRecord | None = None
) -> EvaluationRecord:
    """Return the record of what attacks found.

    Args:
        draft: What was known before.
        result: What they found.
        before: An earlier record of the run, whose other measures stay. Its passes and time do,
            too, where it was repeated for images alone, which takes fewer.
    """
    others = () if before is None else _not_verdicts(before, result)
    counts, wall_s = Counts(result.forward_passes, result.backward_passes), result.seconds
    if before is not None and counts.forward < before.counts.forward:
        counts, wall_s = before.counts, before.wall_s
    flags = merged((*draft.flags, *result.flags))
    return replace(
        draft,
        measures=(*result.measures, *others),
        flags=flags,
        unreliable=is_unreliable(flags),
        counts=counts,
        wall_s=wall_s,
        created=utc_now(),
    )


def evidence_of(run: str, result: EvaluationResult) -> Evidence:
    """Return what attacks found as evidence of the run of that hash."""
    return Evidence(
        identity=run,
        index=result.index.numpy(),
        label=result.labels.numpy(),
        clean_pred=result.clean_pred.numpy(),
        adv_pred=result.adv_pred.numpy(),
        broken_by=np.array(result.broken_by),
        logits=result.logits.numpy(),
        adversarial=None if result.adversarial is None else result.adversarial.numpy(),
        certificates=result.certificates,
    )


def _not_verdicts(record: EvaluationRecord, result: EvaluationResult) -> tuple[Estimate, ...]:
    """Return the measures of a record that do not follow from its evidence."""
    verdicts = {measure.name for measure in result.measures}
    return tuple(measure for measure in record.measures if measure.name not in verdicts)
