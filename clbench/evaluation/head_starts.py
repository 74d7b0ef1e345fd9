"""What finished runs know, so that it need not be found again."""

from pathlib import Path

from jaxtyping import Int
from torch import Tensor, from_numpy

from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import BACKENDS
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.state import NOTHING_KNOWN, HeadStart
from clbench.evaluation.store import Known
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.schema.errors import BadValueError
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import shown


def of_another_attack(
    known: Known | None, draft: EvaluationRecord, attack: str, n_components: int, out: Path | None
) -> HeadStart:
    """Return what a finished run with another attack knows, whose components come first here.

    Args:
        known: That run, where there is one.
        draft: The record of the run that goes on from it, before the first attack.
        attack: The name of the other attack.
        n_components: How many it has.
        out: Where it was looked for.

    Raises:
        BadValueError: There is none, or it might have found something else here.
    """
    if known is None or known.evidence is None:
        raise BadValueError(
            f"there is no finished {attack} evaluation to go on from, of {draft.model.name} on "
            f"these images with these settings, in {shown(str(out))}; run the same command with "
            f"--attack {attack} instead of --finish, and after shards of it clbench merge"
        )
    then, now = _made_with(known.record), _made_with(draft)
    if then != now:  # what was broken might not be broken again
        raise BadValueError(
            f"the {attack} evaluation in {shown(str(out))} was made with {' and '.join(then)}, and "
            f"here is {' and '.join(now)}; run it again with --attack {attack} --restart"
        )
    counts = known.record.counts
    return HeadStart(_robust(known.evidence), n_components, counts.forward, counts.backward)


def of_same_attack(known: Known | None, draft: EvaluationRecord, plan: AttackPlan) -> HeadStart:
    """Return what a finished run of the attack itself knows, which lacks only some images.

    What stood then need not be attacked again. Nothing is known where results belong to whole
    batches, or where another version or device might break something else.
    """
    if known is None or known.verdicts is None:
        return NOTHING_KNOWN
    batchwise = any(BACKENDS[name].granularity == "batch" for name in plan.backends)
    if batchwise or _made_with(known.record) != _made_with(draft):
        return NOTHING_KNOWN
    return HeadStart(_robust(known.verdicts), len(plan.spec.components), 0, 0)


def _robust(evidence: Evidence) -> Int[Tensor, " m"]:
    return from_numpy(evidence.index[evidence.broken_by == BY_NOTHING])


def _made_with(record: EvaluationRecord) -> tuple[str, ...]:
    """Return what must be the same for the same attack to find the same to the bit."""
    parts = (f"{name} {record.versions.get(name, 'unknown')}" for name in ("clbench", "torch"))
    return *parts, record.device
