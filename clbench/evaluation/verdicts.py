"""What follows from which attack broke which example; nothing here loads torch."""

from collections.abc import Sequence

from clbench.schema.attack_spec import TRANSFER
from clbench.schema.estimate import Estimate, proportion
from clbench.schema.flags import SQUARE_IMPROVES, TRANSFER_IMPROVES, RaisedFlag, raised
from clbench.schema.records import left_after

BY_NOTHING, BY_CLEAN = "", "clean"
"""In ``broken_by``: the example stayed robust; the clean image is misclassified already."""

_FEW, _FEW_IMAGES = 0.002, 1
"""An attack without gradients may break so many more before it raises a flag, as AutoAttack's own
check has it; and one image, which few of a small set are enough for, says nothing."""


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


def improvements(
    attacks: Sequence[str], black_box: Sequence[bool], broken_by: Sequence[str]
) -> tuple[RaisedFlag, ...]:
    """Return the flags of attacks without gradients that break more than those before them.

    A flag counts the images of the attack that broke most; there is none where that is not more
    than one image and 0.2 points.

    >>> improvements(["pgd", "square"], [False, True], ["square"] * 2 + [""] * 8)
    (RaisedFlag(name='square_improves', value=2.0, threshold=1.0),)
    """
    kinds = list(black_box)
    first = kinds.index(False) if False in kinds else len(kinds)
    after = [
        name for name, is_black in zip(attacks[first:], kinds[first:], strict=True) if is_black
    ]
    threshold = max(float(_FEW_IMAGES), _FEW * len(broken_by))
    most: dict[str, int] = {}
    for name in after:
        flag = TRANSFER_IMPROVES if name == TRANSFER else SQUARE_IMPROVES
        most[flag] = max(most.get(flag, 0), list(broken_by).count(name))
    return tuple(raised(flag, n, threshold) for flag, n in most.items() if n > threshold)
