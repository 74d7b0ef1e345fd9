"""What follows from which attack broke which example; nothing here loads torch."""

from collections.abc import Sequence

from clbench.schema.estimate import Estimate, proportion
from clbench.schema.records import left_after

BY_NOTHING, BY_CLEAN = "", "clean"
"""In ``broken_by``: the example stayed robust; the clean image is misclassified already."""

SQUARE_MARGIN = 0.002
"""An attack without gradients may lower the accuracy by this much before it raises a flag."""


def accuracies(attacks: Sequence[str], broken_by: Sequence[str]) -> tuple[Estimate, ...]:
    """Return clean and robust accuracy, then the accuracy left after each attack.

    Args:
        attacks: The components in their order.
        broken_by: The first attack that broke each example, or ``BY_NOTHING`` or ``BY_CLEAN``.

    Returns:
        Shares of all examples with their Wilson intervals.

    >>> [one.value for one in accuracies(["pgd"], ["", "pgd", "clean", ""])]
    [0.75, 0.5, 0.5]
    """
    left = {
        "clean_acc": 0,
        "robust_acc": len(attacks),
        **{left_after(name): done for done, name in enumerate(attacks, start=1)},
    }
    return tuple(_share_left(name, attacks[:done], broken_by) for name, done in left.items())


def _share_left(name: str, done: Sequence[str], broken_by: Sequence[str]) -> Estimate:
    lost = {BY_CLEAN, *done}
    return proportion(name, sum(one not in lost for one in broken_by), len(broken_by))


def square_improves(
    attacks: Sequence[str], black_box: Sequence[bool], broken_by: Sequence[str]
) -> bool:
    """Say whether an attack without gradients broke notably more than those with, before it."""
    seen_white = False
    for name, is_black_box in zip(attacks, black_box, strict=True):
        share = sum(one == name for one in broken_by) / len(broken_by)
        if is_black_box and seen_white and share > SQUARE_MARGIN:
            return True
        seen_white = seen_white or not is_black_box
    return False
