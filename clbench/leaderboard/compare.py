"""Records compared with one another, two at a time: what ``clbench compare`` tells."""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from clbench.analysis.pairs import LEVEL, exact_mcnemar, holm
from clbench.analysis.seed_groups import difference_of_groups, mean_over_seeds
from clbench.leaderboard.chosen import AGREE, Chosen, choose
from clbench.schema.errors import RecordError
from clbench.schema.estimate import Estimate, paired_difference
from clbench.schema.records import EvaluationRecord

log = logging.getLogger(__name__)


class Competitor(NamedTuple):
    """A network, or a recipe with its seeds.

    ``seed_sd`` is the standard deviation of the accuracies of its seeds, NaN of a single network.
    """

    name: str
    n_seeds: int
    robust_acc: Estimate
    seed_sd: float


class Pair(NamedTuple):
    """The robust accuracy of one less that of another, on the same examples.

    ``only_one`` and ``only_other`` count examples that stayed robust with one of them alone; None
    where recipes are compared. ``p_value`` is how often as large a difference comes by chance,
    ``p_holm`` the same after Holm's correction over all pairs of the table.
    """

    one: str
    other: str
    difference: Estimate
    only_one: int | None
    only_other: int | None
    p_value: float
    p_holm: float
    verdict: str


class Comparison(NamedTuple):
    """Networks or recipes of one setting, the first record of which is ``of``, and their pairs."""

    of: EvaluationRecord
    competitors: tuple[Competitor, ...]
    pairs: tuple[Pair, ...]

    def as_table(self) -> dict[str, object]:
        """Return it as JSON has it: what all agree in, then who is compared, then the pairs."""
        of, attack = self.of, self.of.attack
        return {
            "data": of.data,
            "threat_model": of.threat_model,
            "attack": {"name": attack.name, "hash": attack.hash} if attack else None,
            "competitors": [one._asdict() for one in self.competitors],
            "pairs": [one._asdict() for one in self.pairs],
        }


class _Side(NamedTuple):
    name: str
    robust: Bool[np.ndarray, "seeds n"]


def compare(names: Sequence[Path], out: Path, *, recipes: bool = False) -> list[Comparison]:
    """Compare records of the same data, examples, threat model and attack, each with each.

    Args:
        names: As for ``choose``.
        out: The folder with the records of models that are named.
        recipes: Whether several seeds of one recipe are one competitor; networks whose recipe has
            one seed are left out.

    Returns:
        A comparison for each setting.

    Raises:
        ClbenchError: As ``choose``; evidence is not what its record names, two records are of
            other examples, or there is nothing to compare with.
    """
    found = []
    for chosen in choose(names, out):
        sides = _sides(chosen)
        if recipes:
            sides = _by_recipe(chosen, sides)
        if len(sides) > 1 or (recipes and sides):
            found.append(_compare(chosen[0].record, sides, seeds=recipes))
    if not found:
        what = "several seeds of one recipe" if recipes else "two records"
        raise RecordError(
            f"nothing to compare in {', '.join(map(str, names))}: there must be {what} of the same "
            "data, examples, norm, eps and attack"
        )
    return found


def _sides(chosen: Sequence[Chosen]) -> list[_Side]:
    """Return what stayed robust, record by record.

    Raises:
        RecordError: Evidence is not what its record names, or two have other examples.
    """
    outcomes = [one.outcomes() for one in chosen]
    for one, its in zip(chosen, outcomes, strict=True):
        if differ := np.flatnonzero(its.examples != outcomes[0].examples).tolist():
            places = [int(of.examples[differ[0]]) for of in (outcomes[0], its)]
            raise RecordError(
                f"cannot compare {chosen[0].path} with {one.path}: examples differ in {len(differ)}"
                f" places, the first is {places[0]} and {places[1]} of the data; {AGREE}"
            )
    names = _told_apart(chosen)
    return [_Side(name, its.robust[None]) for name, its in zip(names, outcomes, strict=True)]


def _told_apart(chosen: Sequence[Chosen]) -> list[str]:
    """Return the shortest names that differ: the model's, with its seed or its run, or the file."""
    forms = (
        [one.record.model.name for one in chosen],
        [f"{one.record.model.name} (seed {one.record.model.training_seed})" for one in chosen],
        [f"{one.record.model.name}~{one.record.run.hash}" for one in chosen],
        [str(one.path) for one in chosen],
    )
    counts = [Counter(form) for form in forms]
    return [
        next((name for name, count in zip(of, counts, strict=True) if count[name] == 1), of[-1])
        for of in zip(*forms, strict=True)
    ]


def _by_recipe(chosen: Sequence[Chosen], sides: Sequence[_Side]) -> list[_Side]:
    """Return one side for each recipe of several seeds.

    Raises:
        RecordError: Two records are of one training.
    """
    recipes: dict[str, dict[int, int]] = defaultdict(dict)
    for number, one in enumerate(chosen):
        model = one.record.model
        if not model.recipe_sha256 or model.training_seed is None:
            continue
        other = recipes[model.recipe_sha256].setdefault(model.training_seed, number)
        if other != number:
            raise RecordError(
                f"{sides[other].name} and {sides[number].name} are of one training (seed "
                f"{model.training_seed}); give one of them"
            )
    several = {recipe: list(of.values()) for recipe, of in recipes.items() if len(of) > 1}
    if left := len(chosen) - sum(map(len, several.values())):
        log.warning(
            "%s records are left out: no other is of the same recipe and another seed", left
        )
    names = {recipe: chosen[of[0]].record.model.name for recipe, of in several.items()}
    alike = Counter(names.values())
    return [
        _Side(
            names[recipe] + (f" ({recipe[:8]})" if alike[names[recipe]] > 1 else ""),
            np.concatenate([sides[number].robust for number in of]),
        )
        for recipe, of in several.items()
    ]


def _compare(of: EvaluationRecord, sides: Sequence[_Side], *, seeds: bool) -> Comparison:
    pairs = [
        _of_recipes(one, other) if seeds else _of_networks(one, other)
        for one, other in combinations(sides, 2)
    ]
    corrected = holm([pair.p_value for pair in pairs]).tolist()
    told = [
        pair._replace(p_holm=p_holm, verdict=_verdict(pair.difference, p_holm))
        for pair, p_holm in zip(pairs, corrected, strict=True)
    ]
    return Comparison(of, tuple(map(_competitor, sides)), tuple(told))


def _competitor(side: _Side) -> Competitor:
    n_seeds = len(side.robust)
    sd = float(side.robust.mean(axis=1).std(ddof=1)) if n_seeds > 1 else math.nan
    return Competitor(side.name, n_seeds, mean_over_seeds("robust_acc", side.robust), sd)


def _of_networks(one: _Side, other: _Side) -> Pair:
    gained = int((one.robust & ~other.robust).sum())
    lost = int((other.robust & ~one.robust).sum())
    found = paired_difference("difference", gained, lost, one.robust.shape[1])
    p_value = float(exact_mcnemar(np.array([gained]), np.array([lost]))[0])
    return Pair(one.name, other.name, found, gained, lost, p_value, math.nan, "")


def _of_recipes(one: _Side, other: _Side) -> Pair:
    found = difference_of_groups("difference", one.robust, other.robust)
    return Pair(*(one.name, other.name, found.difference, None, None, found.p_value, math.nan, ""))


def _verdict(difference: Estimate, p_holm: float) -> str:
    """Return in words what a pair says, believed with all others of its table at once."""
    if p_holm > LEVEL:
        return "not told apart"
    return "more robust" if difference.value > 0 else "less robust"
