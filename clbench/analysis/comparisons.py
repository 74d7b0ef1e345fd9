"""Which matrices say what about a set of models: the kinds of comparison, and what they look at.

They are those of the analysis released with "Rethinking Robust Contrastive Learning from the
Adversarial Perspective" (arXiv:2302.02502), and comparisons on images that all models share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up


class Subject(NamedTuple):
    """A model that is compared; scheme and scenario are "" where they are not known."""

    model: str
    scheme: str = ""
    scenario: str = ""


class Sight(NamedTuple):
    """What a view is of: a model, seen on clean images or on those made against a model."""

    model: str
    against: str = ""

    @property
    def name(self) -> str:
        """The name of the view.

        >>> Sight("a").name, Sight("a", "a").name, Sight("a", "b").name
        ('a clean', 'a adversarial', 'a adversarial to b')
        """
        if not self.against:
            return f"{self.model} clean"
        made_for = "" if self.against == self.model else f" to {self.against}"
        return f"{self.model} adversarial{made_for}"


class Kind(NamedTuple):
    """A kind of comparison: which two subjects it joins, and what rows and columns are then of.

    ``sights`` takes the subjects of rows and columns, in the order in which they were given, and
    the model that the common images are made against.
    """

    name: str
    meaning: str
    joins: Callable[[Subject, Subject], bool]
    sights: Callable[[str, str, str], tuple[Sight, Sight]]


class Wanted(NamedTuple):
    """One matrix that a kind asks for."""

    kind: str
    rows: Sight
    columns: Sight


@dataclass(frozen=True)
class Plan:
    """All matrices to be computed; ``pairs`` and the names of ``sights`` are for ``compare``."""

    matrices: tuple[Wanted, ...]

    @property
    def sights(self) -> tuple[Sight, ...]:
        """What is to be looked at, each once."""
        return tuple(dict.fromkeys(sight for _, *sides in self.matrices for sight in sides))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The views of rows and columns, by name, each pair once."""
        return tuple(dict.fromkeys((rows.name, columns.name) for _, rows, columns in self.matrices))

    @property
    def attacked(self) -> tuple[str, ...]:
        """The models that adversarial images are to be made against."""
        return tuple(dict.fromkeys(sight.against for sight in self.sights if sight.against))


def plan(subjects: Sequence[Subject], kinds: Sequence[str] = (), common: str = "") -> Plan:
    """Return the matrices that the kinds ask for.

    Args:
        subjects: The models, in the order of rows before columns.
        kinds: Names in ``KINDS``; all by default.
        common: The model that the images common to all are made against; by default the first.

    Raises:
        BadValueError: There is no model, or two share a name.
        UnknownNameError: There is no such kind, or ``common`` is none of the models.
    """
    models = {subject.model: subject for subject in subjects}
    if not models or len(models) < len(subjects):
        names = [subject.model for subject in subjects]
        raise BadValueError(f"models must have different names, and be one at least, got {names}")
    target = look_up(models, common or subjects[0].model, "model").model
    rows = [look_up(KINDS, name, "kind of comparison") for name in kinds or KINDS]
    return Plan(
        tuple(
            Wanted(kind.name, *kind.sights(a.model, b.model, target))
            for kind in rows
            for a, b in combinations_with_replacement(subjects, 2)
            if kind.joins(a, b)
        )
    )


def _itself(a: Subject, b: Subject) -> bool:
    return a == b


def _another(a: Subject, b: Subject) -> bool:
    return a != b


def _another_scheme(a: Subject, b: Subject) -> bool:
    return _is_known(a, b) and a.scenario == b.scenario and a.scheme != b.scheme


def _another_scenario(a: Subject, b: Subject) -> bool:
    return _is_known(a, b) and a.scheme == b.scheme and a.scenario != b.scenario


def _is_known(a: Subject, b: Subject) -> bool:
    return all((*a, *b))


def _clean(a: str, b: str, _common: str) -> tuple[Sight, Sight]:
    return Sight(a), Sight(b)


def _adversarial(a: str, b: str, _common: str) -> tuple[Sight, Sight]:
    return Sight(a, a), Sight(b, b)


def _adversarial_clean(a: str, b: str, _common: str) -> tuple[Sight, Sight]:
    return Sight(a, a), Sight(b)


def _on_common(a: str, b: str, common: str) -> tuple[Sight, Sight]:
    return Sight(a, common), Sight(b, common)


KINDS: dict[str, Kind] = {
    row.name: row
    for row in (
        Kind("clean-clean", "layers of a network, on clean images", _itself, _clean),
        Kind(
            "adversarial-adversarial",
            "layers of a network, on its adversarial images",
            _itself,
            _adversarial,
        ),
        Kind(
            "adversarial-clean",
            "a network on its adversarial images (rows) and on clean ones (columns)",
            _itself,
            _adversarial_clean,
        ),
        Kind("cross-clean", "two networks on clean images", _another, _clean),
        Kind(
            "cross-adversarial",
            "two networks, each on its own adversarial images",
            _another,
            _adversarial,
        ),
        Kind(
            "cross-common",
            "two networks on the same adversarial images, made against one model",
            _another,
            _on_common,
        ),
        Kind(
            "cross-scheme",
            "two schemes in one scenario, each on its own adversarial images",
            _another_scheme,
            _adversarial,
        ),
        Kind(
            "cross-scenario",
            "one scheme in two scenarios, each on its own adversarial images",
            _another_scenario,
            _adversarial,
        ),
    )
}
"""All kinds; those of one network first."""
