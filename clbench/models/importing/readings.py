"""What tensors do not tell of a network: who says it, and what else it might be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from clbench.models.backbones.architecture import Architecture
from clbench.models.checkpoints.dialect import (
    CIFAR10,
    HALF,
    IMAGENET,
    NO_NORMALISATION,
    Dialect,
    Normalisation,
    Outside,
)
from clbench.schema.errors import BadValueError

COMMON = (NO_NORMALISATION, IMAGENET, CIFAR10, HALF)
"""What stands before networks most often; those of CIFAR are nearly the same."""

PADDINGS = (1, 2)
SHORTCUTS = ("activated", "input")


class Told(NamedTuple):
    """What a checkpoint tells of what it was trained on.

    Attributes:
        dialect: Its name, "" where an architecture was named instead.
        dataset: Its name, "" where the file holds none.
        stem: Side of the first convolution, 0 where there is none.
        n_classes: Of the classifier, or of one that was left out; 0 where there is none.
    """

    dialect: str = ""
    dataset: str = ""
    stem: int = 0
    n_classes: int = 0


class Given(NamedTuple):
    """What a user says by hand; None where nothing."""

    normalisation: Normalisation | None = None
    stem_padding: int | None = None


@dataclass(frozen=True)
class Reading:
    """One way to read a checkpoint: a network, what stands before it, and who says so.

    ``said_by`` is by question; "" stands for nobody.
    """

    architecture: Architecture
    normalisation: Normalisation
    said_by: Mapping[str, str]

    @property
    def unsaid(self) -> list[str]:
        """The questions that nobody has answered."""
        return [question for question, by in self.said_by.items() if not by]

    def answer(self, question: str) -> str:
        """Return what this reading answers to a question, in words."""
        if question == NORMALISATION:
            return str(self.normalisation)
        return str(self.architecture.options.get(question, PADDINGS[0]))

    def __str__(self) -> str:
        """Return all answers."""
        return ", ".join(f"{one} {self.answer(one)}" for one in self.said_by)


NORMALISATION, STEM_PADDING = "normalisation", "stem_padding"
SHORTCUT_OF, NUM_HEADS = "shortcut_of", "num_heads"
"""The questions."""

HEADS = (3, 6, 8, 12, 16)
"""How many attention heads ViTs have; MoCo v3's of 384 features have 12, all others' 6."""


class _Answers(NamedTuple):
    """Possible answers, the likeliest first, and who says that this is the one, "" nobody."""

    values: tuple[Any, ...]
    by: str


def readings(
    architecture: Architecture,
    dialect: Dialect | None,
    *,
    inside: Normalisation | None,
    told: Told,
    given: Given,
    configured: Normalisation | None = None,
) -> list[Reading]:
    """Return all ways to read a checkpoint, the likeliest first.

    Args:
        architecture: Of the network.
        dialect: Of the checkpoint, None where an architecture was named instead.
        inside: The normalisation in the file.
        told: What the file tells.
        given: What was said by hand.
        configured: What the named architecture's package normalises by.

    Raises:
        BadValueError: Something was said by hand that the file or the architecture excludes.
    """
    if inside and given.normalisation:
        raise BadValueError(
            f"the checkpoint holds its normalisation, {inside}; got {given.normalisation} by hand; "
            "leave out --mean and --std"
        )
    if given.stem_padding is not None and architecture.family != "cifar":
        raise BadValueError(
            f"--stem-padding is of networks for small images, got {given.stem_padding} for "
            f"{architecture.called}; leave it out"
        )
    outside = dialect.outside if dialect else ()
    answers = _normalisations(outside, inside, told, given)
    if configured and not answers.by:
        answers = _Answers(_first(configured, COMMON), architecture.called)
    questions = {NORMALISATION: _of_channels(answers, architecture.options.get("in_chans", 3))}
    facts, name = dialect.facts if dialect else {}, told.dialect
    if architecture.family == "cifar":
        questions[STEM_PADDING] = _paddings(facts, name, given)
    if architecture.family == "preact":
        known = facts.get(SHORTCUT_OF)
        by = f"the dialect {name}" if known else ""
        questions[SHORTCUT_OF] = _Answers(_first(known, SHORTCUTS), by)
    if NUM_HEADS in architecture.options:
        questions[NUM_HEADS] = _heads(architecture.options, facts, name)
    return list(_all(architecture, questions))


def _normalisations(
    outside: tuple[Outside, ...],
    inside: Normalisation | None,
    told: Told,
    given: Given,
) -> _Answers:
    if inside:
        return _Answers((inside,), "the checkpoint")
    if given.normalisation:
        return _Answers((given.normalisation,), "hand")
    sure = (one for one in outside if _holds(one, told))
    if (first := next(sure, None)) is not None:
        return _Answers(_first(first.by, COMMON), f"the dialect {told.dialect}")
    unsure = (one.by for one in outside if one.unsure)
    return _Answers(tuple(dict.fromkeys((*unsure, *COMMON))), "")


def _of_channels(answers: _Answers, channels: int) -> _Answers:
    """Return normalisations of so many channels; those of three colours are of no others.

    Raises:
        BadValueError: There are none.
    """
    first = answers.values[0]
    found = [
        Normalisation(*(part[:1] * channels if len(set(part)) == 1 else part for part in one))
        for one in answers.values
    ]
    fitting = tuple(one for one in found if len(one.mean) == len(one.std) == channels)
    if not fitting or (answers.by and fitting[0] != found[0]):
        raise BadValueError(
            f"images of the network have {channels} channels, got a normalisation of "
            f"{len(first.mean)}, {first} (said by {answers.by or 'nobody'}); give --mean and --std"
        )
    return _Answers(fitting, answers.by)


def _holds(one: Outside, told: Told) -> bool:
    """Say whether a row is of a checkpoint; rows without a data set are of those that say none."""
    if one.unsure:
        return False
    conditions = one.dataset or one.stem or one.n_classes
    if told.dataset and one.dataset != told.dataset and conditions:
        return False
    pairs = ((one.stem, told.stem), (one.n_classes, told.n_classes))
    return one.dataset in ("", told.dataset) and all(wanted in (0, got) for wanted, got in pairs)


def _paddings(facts: Mapping[str, Any], name: str, given: Given) -> _Answers:
    if given.stem_padding is not None:
        return _Answers((given.stem_padding,), "hand")
    told = facts.get(STEM_PADDING, PADDINGS[0])
    return _Answers(_first(told, PADDINGS), f"the dialect {name}" if name else "the architecture")


def _heads(options: Mapping[str, Any], facts: Mapping[str, Any], name: str) -> _Answers:
    """Return numbers of heads that a ViT may have, whose weights have one shape with any."""
    width, usual = options["embed_dim"], options[NUM_HEADS]
    if width in facts.get("heads", {}):
        return _Answers((usual,), f"the dialect {name}")
    return _Answers(_first(usual, tuple(one for one in HEADS if width % one == 0)), "")


def _first(one: Any, others: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401 - of one kind each
    """Return others with one of them first, where there is one."""
    return others if one is None else (one, *(other for other in others if other != one))


def _all(architecture: Architecture, questions: Mapping[str, _Answers]) -> Iterator[Reading]:
    said_by = {question: answers.by for question, answers in questions.items()}
    for values in product(*(answers.values for answers in questions.values())):
        chosen = dict(zip(questions, values, strict=True))
        normalisation = chosen.pop(NORMALISATION)
        options = architecture.options | chosen
        yield Reading(replace(architecture, options=options), normalisation, said_by)
