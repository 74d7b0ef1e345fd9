"""Where a flag doubts a robust accuracy: the attack that it asks for, and the lower number."""

import logging
from collections.abc import Callable

from clbench.evaluation.evaluation import Evaluation
from clbench.schema.flags import remedies

log = logging.getLogger(__name__)


def escalated(evaluation: Evaluation, again: Callable[[str], Evaluation]) -> Evaluation:
    """Return the evaluation with the lowest robust accuracy among one and what its flags ask for.

    Every one has a record of its own.

    Args:
        evaluation: What was found.
        again: Evaluates the same model with another attack.
    """
    record = evaluation.record
    lowest, attack = evaluation, record.attack.name if record.attack else ""
    asked = remedies(record.flags, attack)
    if not asked:
        flags = ", ".join(record.flag_names)
        why = f"no flag of it asks for one ({flags})" if flags else "it has no flags"
        log.info("no other attack is run for %s: %s", record.model.name, why)
    for remedy in asked:
        other = again(remedy)
        first, second = _robust(evaluation), _robust(other)
        log.warning(
            "%s is %.2f %% robust under %s, which flags doubt, and %.2f %% under %s",
            *(record.model.name, 100 * first, attack, 100 * second, remedy),
        )
        lowest = min(lowest, other, key=_robust)
    return lowest


def _robust(evaluation: Evaluation) -> float:
    robust = evaluation.record.measure("robust_acc")
    return 1.0 if robust is None else robust.value
