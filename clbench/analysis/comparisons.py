"""Which matrices say what about a set of models: kinds of comparison, and what each is of.

They are those of the analysis released with "Rethinking Robust Contrastive Learning from the
Adversarial Perspective" (arXiv:2302.02502), and comparisons on images that all models share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up


class ComparedModel(NamedTuple):
    """A model that is compared; scheme and scenario are "" where they are not known."""

    model: str
    scheme: str = ""
    scenario: str = ""


_NOISE, _UNTRAINED, _PIXELS = " noise", " untrained", " pixels"


def noise_like(model: str) -> str:
    """Return what images are made against that have noise of the size of a model's adversaries."""
    return model + _NOISE


def untrained(model: str) -> str:
    """Return the name of a model that has learnt nothing."""
    return model + _UNTRAINED


def pixels(model: str) -> str:
    """Return the name of what passes a model's images on."""
    return model + _PIXELS


class RepresentationOf(NamedTuple):
    """What a representation is of: a model, on clean images or on those made against a model."""

    model: str
    against: str = ""

    @property
    def name(self) -> str:
        """The name of the representation.

        >>> [RepresentationOf("a", against).name for against in ("", "a", "b")]
        ['a clean', 'a adversarial', 'a adversarial to b']
        """
        if not self.against:
            return f"{self.model} clean"
        if self.against == noise_like(self.model):
            return self.against
        made_for = "" if self.against == self.model else f" to {self.against}"
        return f"{self.model} adversarial{made_for}"


class Comparison(NamedTuple):
    """A kind of comparison: which two models it joins, and what rows and columns are then of.

    ``representations`` takes the models of rows and columns, in the order in which they were
    given, and the model that the common images are made against. A ``control`` is what another
    comparison is to be seen beside; it has no figure of its own.
    """

    name: str
    meaning: str
    joins: Callable[[ComparedModel, ComparedModel], bool]
    representations: Callable[[str, str, str], tuple[RepresentationOf, RepresentationOf]]
    control: bool = False


class Wanted(NamedTuple):
    """One matrix that a comparison asks for."""

    comparison: str
    rows: RepresentationOf
    columns: RepresentationOf


@dataclass(frozen=True)
class ComparisonPlan:
    """All matrices to be computed, and what they are of."""

    matrices: tuple[Wanted, ...]

    @property
    def representations(self) -> tuple[RepresentationOf, ...]:
        """What is to be looked at, each once."""
        return tuple(
            dict.fromkeys(representation for _, *sides in self.matrices for representation in sides)
        )

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The representations of rows and columns, by name, each pair once."""
        return tuple(dict.fromkeys((rows.name, columns.name) for _, rows, columns in self.matrices))

    @property
    def attacked(self) -> tuple[str, ...]:
        """The models that adversarial images are to be made against."""
        return tuple(
            dict.fromkeys(
                representation.against.removesuffix(_NOISE)
                for representation in self.representations
                if representation.against
            )
        )

    def uses(self, name: str) -> bool:
        """Tell whether a control of a model is wanted: ``untrained``, ``pixels`` or noise."""
        return any(name in representation for representation in self.representations)


def any_attacked(comparisons: Sequence[str]) -> bool:
    """Say whether some comparisons, all where there are none, are of adversarial images.

    Raises:
        UnknownNameError: There is no such comparison.

    >>> any_attacked(["clean-clean"]), any_attacked([])
    (False, True)
    """
    chosen = [look_up(COMPARISONS, name, "comparison") for name in comparisons or COMPARISONS]
    sides = (side for one in chosen for side in one.representations("rows", "columns", "common"))
    return any(side.against for side in sides)


def plan_comparisons(
    models: Sequence[ComparedModel], comparisons: Sequence[str] = (), common: str = ""
) -> ComparisonPlan:
    """Return the matrices that the comparisons ask for.

    Args:
        models: In the order of rows before columns.
        comparisons: Names in ``COMPARISONS``; all by default.
        common: The model that the images common to all are made against; by default the first.

    Raises:
        BadValueError: There is no model, or two share a name.
        UnknownNameError: There is no such comparison, or ``common`` is none of the models.
    """
    by_name = {one.model: one for one in models}
    if not by_name or len(by_name) < len(models):
        names = [one.model for one in models]
        raise BadValueError(f"models must have different names, and be one at least, got {names}")
    target = look_up(by_name, common or models[0].model, "model").model
    wanted = [look_up(COMPARISONS, name, "comparison") for name in comparisons or COMPARISONS]
    return ComparisonPlan(
        tuple(
            Wanted(row.name, rows, columns)
            for row in wanted
            for a, b in combinations_with_replacement(models, 2)
            if row.joins(a, b)
            for rows, columns in [row.representations(a.model, b.model, target)]
        )
    )


def _itself(a: ComparedModel, b: ComparedModel) -> bool:
    return a == b


def _another(a: ComparedModel, b: ComparedModel) -> bool:
    return a != b


def _another_scheme(a: ComparedModel, b: ComparedModel) -> bool:
    return _is_known(a, b) and a.scenario == b.scenario and a.scheme != b.scheme


def _another_scenario(a: ComparedModel, b: ComparedModel) -> bool:
    return _is_known(a, b) and a.scheme == b.scheme and a.scenario != b.scenario


def _is_known(a: ComparedModel, b: ComparedModel) -> bool:
    return all((*a, *b))


def _clean(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(a), RepresentationOf(b)


def _adversarial(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(a, a), RepresentationOf(b, b)


def _adversarial_clean(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(a, a), RepresentationOf(b)


def _noise_clean(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(a, noise_like(a)), RepresentationOf(b)


def _untrained(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return _adversarial_clean(untrained(a), untrained(b), "")


def _pixels(a: str, b: str, _common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(pixels(a), a), RepresentationOf(pixels(b))


def _on_common(a: str, b: str, common: str) -> tuple[RepresentationOf, RepresentationOf]:
    return RepresentationOf(a, common), RepresentationOf(b, common)


COMPARISONS: dict[str, Comparison] = {
    row.name: row
    for row in (
        Comparison("clean-clean", "layers of a network, on clean images", _itself, _clean),
        Comparison(
            "adversarial-adversarial",
            "layers of a network, on its adversarial images",
            _itself,
            _adversarial,
        ),
        Comparison(
            "adversarial-clean",
            "a network on its adversarial images (rows) and on clean ones (columns)",
            _itself,
            _adversarial_clean,
        ),
        Comparison("cross-clean", "two networks on clean images", _another, _clean),
        Comparison(
            "cross-adversarial",
            "two networks, each on its own adversarial images",
            _another,
            _adversarial,
        ),
        Comparison(
            "cross-common",
            "two networks on the same adversarial images, made against one model",
            _another,
            _on_common,
        ),
        Comparison(
            "cross-scheme",
            "two schemes in one scenario, each on its own adversarial images",
            _another_scheme,
            _adversarial,
        ),
        Comparison(
            "cross-scenario",
            "one scheme in two scenarios, each on its own adversarial images",
            _another_scenario,
            _adversarial,
        ),
        Comparison(
            "noise-clean",
            "a network on noise as large as its adversarial perturbations, and on clean images",
            _itself,
            _noise_clean,
            control=True,
        ),
        Comparison(
            "untrained",
            "the network untrained, on adversarial images of its own and on clean ones",
            _itself,
            _untrained,
            control=True,
        ),
        Comparison(
            "pixels",
            "the pixels of a network's adversarial images, and of clean ones",
            _itself,
            _pixels,
            control=True,
        ),
    )
}
"""All comparisons; those of one network first, controls last."""
