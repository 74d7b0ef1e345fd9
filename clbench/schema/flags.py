"""Signs that a robust accuracy is not what it seems, as flags that travel with the number."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

RANDOMIZED, BATCH_DEPENDENT, GRADIENT_MODE = "randomized", "batch_dependent", "gradient_mode"
WRONG_GRADIENT, NO_DERIVATIVE = "wrong_gradient", "no_derivative"
AT_CHANCE, SQUARE_IMPROVES, UPPER_BOUND = "chance_accuracy", "square_improves", "upper_bound"
TRANSFER_IMPROVES = "transfer_improves"


@dataclass(frozen=True)
class RaisedFlag:
    """A flag of one run, with the number that raised it and the one that it went beyond.

    Both are None for what is so or is not, and in records of schema version 2 and below. Their unit
    is the row's of ``FLAGS``.
    """

    name: str
    value: float | None = None
    threshold: float | None = None

    def __str__(self) -> str:
        return self.name


class Flag(NamedTuple):
    """What a flag means, and whether it makes the robust accuracy unreliable.

    ``remedy`` is the attack to use instead, where there is one. ``unit`` is of the value that
    raises it, "" where there is none; ``threshold`` is what that has to exceed, unless whoever
    raises it says so otherwise.
    """

    meaning: str
    unreliable: bool = True
    remedy: str = ""
    unit: str = ""
    threshold: float = 0


_ROUNDING = "times what rounding explains"
_OF_64 = "of at most 64 robust images"

FLAGS: dict[str, Flag] = {
    RANDOMIZED: Flag(
        "the network answers differently when asked twice",
        remedy="autoattack-rand", unit=_ROUNDING, threshold=1,
    ),
    BATCH_DEPENDENT: Flag(
        "the network's answer to an image depends on the other images of its batch, so verdicts "
        "hold for these batches alone; does a batch norm run in training mode?",
        unit=_ROUNDING, threshold=1,
    ),
    GRADIENT_MODE: Flag(
        "the network answers differently while a gradient is wanted, so attacks see another "
        "function than the one that is scored",
        unit=_ROUNDING, threshold=1,
    ),
    WRONG_GRADIENT: Flag(
        "the network's gradient is not the slope of its answers, so gradient attacks are misled; "
        "is a part of it detached, or a backward pass replaced?"
    ),
    NO_DERIVATIVE: Flag(
        "no gradient reaches the images, so that attacks with gradients are blind; those without "
        "are weaker",
        remedy="square",
    ),
    "softmax_output": Flag(
        "the network returns probabilities instead of logits, which starve gradients"
    ),
    "bounded_output": Flag(
        "the network's outputs are bounded, as behind a sigmoid or tanh, which starves gradients; "
        "return what goes into it"
    ),
    "zero_gradient": Flag(
        "the loss has no gradient at some clean images, so gradient attacks are blind there",
        unit="images",
    ),
    "tiny_gradient": Flag(
        "at some clean images the gradient is too small to be followed, whatever the logits are "
        "multiplied by",
        unit="images",
    ),
    "nan_gradient": Flag(
        "gradients held NaN or infinite entries, which counted as zero; attacks were weaker there",
        unit="gradients",
    ),
    SQUARE_IMPROVES: Flag(
        "an attack without gradients broke images that the gradient attacks before it could not",
        remedy="square,n_queries=20000", unit="images",
    ),
    TRANSFER_IMPROVES: Flag(
        "adversarial images of another network broke images that the attacks before them could "
        "not, so that gradients seem to be masked",
        remedy="best", unit="images",
    ),
    "single_step_improves": Flag(
        "a single step along the gradient broke images that the attack could not, which has more "
        "steps: gradients are masked, or its steps are too short",
        remedy="best", unit=_OF_64, threshold=1,
    ),
    "noise_improves": Flag(
        "random perturbations broke images that the attack could not: gradients are masked, or "
        "the attack is too short",
        remedy="best", unit=_OF_64, threshold=1,
    ),
    "robust_at_any_eps": Flag(
        "images stand ten steps in a ball so large that it holds a grey image, which is of another "
        "class: gradients are masked",
        remedy="best", unit=_OF_64, threshold=1,
    ),
    "few_gradients": Flag(
        "all entries of the gradient are of one size, as behind a sign, so that attacks learn "
        "little from it",
        remedy="square,n_queries=20000", unit=_OF_64, threshold=1,
    ),
    "verdicts_change": Flag(
        "robust images are of another class when they are asked about again, beside other images",
        remedy="autoattack-rand", unit=_OF_64,
    ),
    "dynamic": Flag(
        "the network computes gradients while it predicts; attacks may not see through that"
    ),
    "long_images": Flag(
        "Square in L2 cannot place its windows well in images that are much longer than wide, so "
        "it is weaker than on square ones"
    ),
    "few_classes": Flag(
        "attacks on the DLR loss were left out, because there are too few classes for it",
        unreliable=False,
    ),
    UPPER_BOUND: Flag(
        "the attack is a short one, for first looks, so that the robust accuracy is an upper bound "
        "and has no rank; the same command with --finish goes on from here to autoattack's",
        unreliable=False,
    ),
    "out_of_bounds": Flag(
        "an attack left the ball or the pixel range; those images count as not broken",
        unit="images",
    ),
    "nan_adversarial": Flag(
        "an attack returned NaN or infinite pixels; those images count as not broken",
        unit="images",
    ),
    AT_CHANCE: Flag(
        "the clean accuracy is hardly above chance: weights forgotten, images normalised twice or "
        "on another scale, labels shifted, or an encoder without a classifier"
    ),
    "normalisation_suspect": Flag(
        "the network has more images right once they are normalised in a common way, or a "
        "normalisation is undone, so that one seems to be missing or to be there twice; --mean and "
        "--std put one before it",
        unit="more of the first 64 images right",
    ),
    "nan_logits": Flag(
        "the network returned NaN; those images count as misclassified", unit="images"
    ),
}  # fmt: skip
"""Every flag that an evaluation may raise."""

_UNKNOWN = Flag("a flag that this version does not know")


def raised(name: str, value: int | None = None, threshold: float | None = None) -> RaisedFlag:
    """Return a flag with its value, and the threshold of its row unless another is given.

    >>> raised("zero_gradient", 3)
    RaisedFlag(name='zero_gradient', value=3.0, threshold=0.0)
    """
    row = FLAGS.get(name, _UNKNOWN)
    if value is None or not row.unit:
        return RaisedFlag(name)
    beyond = row.threshold if threshold is None else threshold
    return RaisedFlag(name, float(value), float(beyond))


def merged(flags: Iterable[RaisedFlag]) -> tuple[RaisedFlag, ...]:
    """Return the flags, of those with one name the first.

    >>> [flag.value for flag in merged([raised("nan_logits", 1), raised("nan_logits", 2)])]
    [1.0]
    """
    by_name: dict[str, RaisedFlag] = {}
    for flag in flags:
        by_name.setdefault(flag.name, flag)
    return tuple(by_name.values())


def is_unreliable(flags: Iterable[RaisedFlag]) -> bool:
    """Say whether one of ``flags`` makes the robust accuracy unreliable; one not known does."""
    return any(FLAGS.get(flag.name, _UNKNOWN).unreliable for flag in flags)


def remedies(flags: Iterable[RaisedFlag], attack: str) -> tuple[str, ...]:
    """Return the attacks that flags ask for, without those that an attack has already.

    >>> remedies([raised("randomized", 7), raised("dynamic")], "autoattack")
    ('autoattack-rand',)
    """
    wanted = dict.fromkeys(FLAGS.get(flag.name, _UNKNOWN).remedy for flag in flags)
    return tuple(one for one in wanted if one and one not in attack)


def meaning(flag: RaisedFlag, attack: str = "") -> str:
    """Return what a flag means, its numbers, and what to use instead of an attack, in one line.

    Records of another version may have flags not known here.
    """
    row = FLAGS.get(flag.name, _UNKNOWN)
    parts = [row.meaning]
    if flag.value is not None and row.unit:
        parts.append(f" ({flag.value:.6g} {row.unit})")
    parts += [f": use --attack {one}" for one in remedies([flag], attack)]
    return "".join(parts)
